package dashboard

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
)

// random returns a graph, with cycles and edges from a node to itself.
func random(seed uint64) ([]box, [][2]int) {
	r := rand.New(rand.NewPCG(seed, 1))
	boxes := make([]box, r.IntN(40))
	for i := range boxes {
		boxes[i] = box{w: 100 + float64(r.IntN(100)), h: 20 + float64(r.IntN(40))}
	}
	var edges [][2]int
	for range len(boxes) * r.IntN(3) {
		edges = append(edges, [2]int{r.IntN(len(boxes)), r.IntN(len(boxes))})
	}
	return boxes, edges
}

func TestLayered_NoBoxCoversAnother(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		boxes, edges := random(seed)
		width, height, paths := layered(boxes, edges)
		for i, a := range boxes {
			for _, b := range boxes[:i] {
				if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
					t.Fatalf("seed %d: %v and %v", seed, a, b)
				}
			}
			if a.x < -0.01 || a.y < -0.01 || a.x+a.w > width+0.01 || a.y+a.h > height+0.01 {
				t.Fatalf("seed %d: %v is not within %v by %v", seed, a, width, height)
			}
		}
		for i, e := range edges {
			path := paths[i]
			if e[0] == e[1] {
				continue
			}
			from, to := boxes[e[0]], boxes[e[1]]
			first, last := path[0], path[len(path)-1]
			if first[0] > last[0] { // against the direction of the columns
				if first[0] != from.x || last[0] != to.x+to.w {
					t.Fatalf("seed %d: from %v to %v by %v", seed, from, to, path)
				}
			} else if first[0] != from.x+from.w || last[0] != to.x {
				t.Fatalf("seed %d: from %v to %v by %v", seed, from, to, path)
			}
			if math.Abs(first[1]-from.y-from.h/2) > 0.01 || math.Abs(last[1]-to.y-to.h/2) > 0.01 {
				t.Fatalf("seed %d: from %v to %v by %v", seed, from, to, path)
			}
		}
		again, _ := random(seed)
		if layered(again, edges); !reflect.DeepEqual(again, boxes) {
			t.Fatalf("seed %d is not drawn the same again", seed)
		}
	}
}

func TestLayered_EdgesLeadToTheRight(t *testing.T) {
	t.Parallel()
	boxes := make([]box, 5)
	for i := range boxes {
		boxes[i] = box{w: 10, h: 10}
	}
	edges := [][2]int{{0, 1}, {1, 2}, {0, 2}, {3, 4}}
	layered(boxes, edges)
	for _, e := range edges {
		if boxes[e[0]].x >= boxes[e[1]].x {
			t.Errorf("%d is not to the left of %d: %v", e[0], e[1], boxes)
		}
	}
}

// TestLayered_UncrossesWhatCanBe draws two columns of pairs in opposite order.
func TestLayered_UncrossesWhatCanBe(t *testing.T) {
	t.Parallel()
	const n = 6
	boxes := make([]box, 2*n+1)
	for i := range boxes {
		boxes[i] = box{w: 10, h: 10}
	}
	var edges [][2]int
	for i := range n {
		edges = append(edges, [2]int{2 * n, i}, [2]int{i, 2*n - 1 - i})
	}
	layered(boxes, edges)
	for i := range n {
		for j := range i {
			a, b := boxes[i].y-boxes[j].y, boxes[2*n-1-i].y-boxes[2*n-1-j].y
			if a*b < 0 {
				t.Fatalf("the edges of %d and %d cross", i, j)
			}
		}
	}
}

func TestDraw_LeadsFromWhoHasARoleToItsScope(t *testing.T) {
	t.Parallel()
	const group = "/subscriptions/s/resourceGroups/g"
	vault := group + "/providers/Microsoft.KeyVault/vaults/v"
	who := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
	role := vault + "/providers/Microsoft.Authorization/roleAssignments/a"
	whole := group + "/providers/Microsoft.Authorization/roleAssignments/b"
	custom := "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/d"
	d := draw([]resource{
		{ID: "/subscriptions/s", Type: "Microsoft.Resources/subscriptions"},
		{ID: group, Type: "Microsoft.Resources/resourceGroups", Parent: "/subscriptions/s"},
		{ID: vault, Type: "Microsoft.KeyVault/vaults", Parent: group},
		{ID: vault + "/secrets/x", Type: "Microsoft.KeyVault/vaults/secrets", Parent: strings.ToUpper(vault)},
		{ID: who, Type: "Microsoft.ManagedIdentity/userAssignedIdentities", Parent: group},
		{ID: custom, Type: "Microsoft.Authorization/roleDefinitions", Parent: "/subscriptions/s"},
		{ID: role, Type: "Microsoft.Authorization/roleAssignments", Parent: vault, Uses: []string{who, custom, "/unknown"}},
		{ID: whole, Type: "Microsoft.Authorization/roleAssignments", Parent: group, Uses: []string{who}},
		{ID: strings.ToLower(role), Type: "Microsoft.Authorization/roleAssignments", Parent: vault},
	})
	var got []string
	for _, e := range d.Edges {
		got = append(got, e.Kind+" "+e.From+" "+e.To)
	}
	want := []string{
		"has " + vault + " " + vault + "/secrets/x", "grants " + role + " " + vault, "grants " + who + " " + role,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("edges\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(d.Nodes) != 5 {
		t.Errorf("%d nodes, want 5: %v", len(d.Nodes), d.Nodes)
	}
}

func TestServer_DrawsTheGraph(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(t))
	cookie, at := signIn(t, s)
	var d drawn
	for range 2 { // the second is kept
		resp, text := request(t, s, "GET", at+"api/graph", "", cookie...)
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, text)
		}
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile("testdata/resources.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Nodes {
		if !strings.Contains(string(content), n.ID) {
			t.Errorf("%s is not among the resources", n.ID)
		}
	}
	if len(d.Nodes) < 15 || len(d.Edges) < 15 || d.Width <= 0 || d.Height <= 0 {
		t.Errorf("%d nodes, %d edges, %v by %v", len(d.Nodes), len(d.Edges), d.Width, d.Height)
	}
}
