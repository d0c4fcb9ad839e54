package components

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// after is the output once the resources exist: a resource that uses it is created after them and deleted before them.
// Unlike a value made with pulumi.All it stays known in a preview that is about to create them.
func after(ctx *pulumi.Context, o pulumi.StringOutput, resources ...pulumi.Resource) pulumi.StringOutput {
	return pulumi.OutputWithDependencies(ctx.Context(), o, resources...).(pulumi.StringOutput)
}

// readBack is an output that Azure sets of a resource. Where azure-native could not read what it had just made, it warns and
// leaves such outputs out, which here is an error instead of an empty string that Azure is sent.
func readBack(o pulumi.StringOutput, of string) pulumi.StringOutput {
	return o.ApplyT(func(value string) (string, error) {
		if value == "" {
			return "", fmt.Errorf("azure-native has made %s and could not read it afterwards, as it warned then: run pulumi refresh", of)
		}
		return value, nil
	}).(pulumi.StringOutput)
}

// optional is a plain string as an optional input; the empty string leaves it out.
func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.StringPtr(s)
}

// optionalInt is a plain number as an optional input; zero leaves it out.
func optionalInt(n int) pulumi.IntPtrInput {
	if n == 0 {
		return nil
	}
	return pulumi.IntPtr(n)
}

// orNothing is an optional number as a value of pulumi.All, which takes no nil.
func orNothing(n pulumi.IntPtrInput) pulumi.Input {
	if n == nil {
		return pulumi.String("")
	}
	return n
}

// value is a string, or the empty one where there is none.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// optionalBool is a plain bool as an optional input; nil leaves it out.
func optionalBool(b *bool) pulumi.BoolPtrInput {
	if b == nil {
		return nil
	}
	return pulumi.BoolPtr(*b)
}

// optionalFloat is for the dates of keys, which the SDK declares as floating-point numbers.
func optionalFloat(n pulumi.IntPtrInput) pulumi.Float64PtrInput {
	if n == nil {
		return nil
	}
	return n.ToIntPtrOutput().ApplyT(func(n *int) *float64 {
		f := float64(*n)
		return &f
	}).(pulumi.Float64PtrOutput)
}

// trueOrNothing is for what Azure refuses as false.
func trueOrNothing(b bool) pulumi.BoolPtrInput {
	if !b {
		return nil
	}
	return pulumi.BoolPtr(true)
}

// optionalList is a plain list as an optional input; an empty one leaves it out.
func optionalList(list []string) pulumi.StringArrayInput {
	if len(list) == 0 {
		return nil
	}
	return pulumi.ToStringArray(list)
}

// optionalMap is a plain map as an optional input; the empty map leaves it out.
func optionalMap(m map[string]string) pulumi.StringMapInput {
	if len(m) == 0 {
		return nil
	}
	return pulumi.ToStringMap(m)
}

// optionalInput is a required kind of input as an optional one; nil leaves it out.
func optionalInput(id pulumi.StringInput) pulumi.StringPtrInput {
	if id == nil {
		return nil
	}
	return id.ToStringOutput().ToStringPtrOutput()
}

// names are the names of a list's items, in its order.
func names[T any](items []T, name func(T) string) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = name(item)
	}
	return list
}
