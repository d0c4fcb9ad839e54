package components

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// after is the output once the resources exist: a resource that uses it is created after them and deleted before them. Unlike
// a value made with pulumi.All it stays known in a preview that is about to create them.
func after(ctx *pulumi.Context, o pulumi.StringOutput, resources ...pulumi.Resource) pulumi.StringOutput {
	return pulumi.OutputWithDependencies(ctx.Context(), o, resources...).(pulumi.StringOutput)
}

// optional is a plain string as an optional input; the empty string leaves it out.
func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.StringPtr(s)
}

// names are the names of a list's items, in its order.
func names[T any](items []T, name func(T) string) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = name(item)
	}
	return list
}
