package resourcemanager

// SubResource refers to another resource.
type SubResource struct {
	ID string `json:"id"`
}

// NestedResource is a resource in the body of its parent.
type NestedResource[P any] struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Etag       string `json:"etag"`
	Properties P      `json:"properties"`
}

// TrackedResource is a resource with a location and tags.
type TrackedResource[P any] struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties P                 `json:"properties"`
}

// PlacedResource is a tracked resource with a SKU and optional availability zones.
type PlacedResource[P any] struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
	Zones    []string          `json:"zones"`
	SKU      struct {
		Name string `json:"name"`
		Tier string `json:"tier"`
	} `json:"sku"`
	Properties P `json:"properties"`
}
