package components

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// after returns the output once the resources exist: a resource that uses it is created after them and deleted before
// them. Unlike a value made with pulumi.All, it stays known in a preview that plans to create them.
func after(ctx *pulumi.Context, o pulumi.StringOutput, resources ...pulumi.Resource) pulumi.StringOutput {
	return pulumi.OutputWithDependencies(ctx.Context(), o, resources...).(pulumi.StringOutput)
}

// readBack returns an output that Azure sets on a resource. If azure-native could not read a resource that it had just
// created, it warns and omits such outputs. That is an error here, so that no empty string is sent to Azure.
func readBack(o pulumi.StringOutput, of string) pulumi.StringOutput {
	return o.ApplyT(func(value string) (string, error) {
		if value == "" {
			return "", fmt.Errorf("azure-native created %s but could not read it afterwards, as its warning says: run pulumi "+
				"refresh", of)
		}
		return value, nil
	}).(pulumi.StringOutput)
}

// optional returns a plain string as an optional input, nil if it is empty.
func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.StringPtr(s)
}

// optionalInt returns a plain number as an optional input, nil if it is zero.
func optionalInt(n int) pulumi.IntPtrInput {
	if n == 0 {
		return nil
	}
	return pulumi.IntPtr(n)
}

// anyOrNone returns an optional number as a value for pulumi.All, which accepts no nil.
func anyOrNone(n pulumi.IntPtrInput) pulumi.Input {
	if n == nil {
		return pulumi.String("")
	}
	return n
}

// value returns the string, or the empty string for nil.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// optionalBool returns a plain bool as an optional input, nil if it is nil.
func optionalBool(b *bool) pulumi.BoolPtrInput {
	if b == nil {
		return nil
	}
	return pulumi.BoolPtr(*b)
}

// optionalFloat converts the dates of keys, which the SDK declares as floating-point numbers.
func optionalFloat(n pulumi.IntPtrInput) pulumi.Float64PtrInput {
	if n == nil {
		return nil
	}
	return n.ToIntPtrOutput().ApplyT(func(n *int) *float64 {
		f := float64(*n)
		return &f
	}).(pulumi.Float64PtrOutput)
}

// optionalTrue returns true as an input, and nil for false, for properties that Azure refuses as false.
func optionalTrue(b bool) pulumi.BoolPtrInput {
	if !b {
		return nil
	}
	return pulumi.BoolPtr(true)
}

// optionalList returns a plain list as an optional input, nil if it is empty.
func optionalList(list []string) pulumi.StringArrayInput {
	if len(list) == 0 {
		return nil
	}
	return pulumi.ToStringArray(list)
}

// optionalMap returns a plain map as an optional input, nil if it is empty.
func optionalMap(m map[string]string) pulumi.StringMapInput {
	if len(m) == 0 {
		return nil
	}
	return pulumi.ToStringMap(m)
}

// optionalInput converts a required input to an optional one, nil if it is nil.
func optionalInput(id pulumi.StringInput) pulumi.StringPtrInput {
	if id == nil {
		return nil
	}
	return id.ToStringOutput().ToStringPtrOutput()
}

// names returns the names of a list's items, in order.
func names[T any](items []T, name func(T) string) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = name(item)
	}
	return list
}
