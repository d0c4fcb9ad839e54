package dashboard

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
)

// resource is what the drawing needs of one of the cloud's.
type resource struct {
	ID     string   `json:"id"`
	Type   string   `json:"type"`
	Parent string   `json:"parent"`
	Uses   []string `json:"uses"`
}

// Sizes of boxes in the page's pixels.
const (
	boxWidth, boxHeight   = 184.0, 44.0
	roleWidth, roleHeight = 184.0, 26.0
)

type drawnNode struct {
	ID string  `json:"id"`
	X  float64 `json:"x"`
	Y  float64 `json:"y"`
	W  float64 `json:"w"`
	H  float64 `json:"h"`
}

type drawnEdge struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Kind   string  `json:"kind"` // has, uses or grants
	Points []point `json:"points"`
}

// drawn is where the resources are in the page's graph.
type drawn struct {
	Width  float64     `json:"width"`
	Height float64     `json:"height"`
	Nodes  []drawnNode `json:"nodes"`
	Edges  []drawnEdge `json:"edges"`
}

const (
	roleAssignments = "microsoft.authorization/roleassignments"
	roleDefinitions = "microsoft.authorization/roledefinitions"
)

// container reports whether resources of a type contain everything, and so tell nothing in a drawing.
func container(kind string) bool {
	kind = strings.ToLower(kind)
	return kind == "microsoft.resources/subscriptions" || strings.HasPrefix(kind, "microsoft.resources/") &&
		strings.HasSuffix(kind, "resourcegroups")
}

// draw places resources by what they contain, use and grant. Subscriptions and resource groups, which contain
// everything, are left out.
func draw(resources []resource) drawn {
	var boxes []box
	var nodes []resource
	number := map[string]int{}
	known := map[string]bool{}
	for _, r := range resources {
		known[strings.ToLower(r.ID)] = !container(r.Type)
	}
	for _, r := range resources {
		kind, id := strings.ToLower(r.Type), strings.ToLower(r.ID)
		if _, twice := number[id]; twice || container(kind) {
			continue
		}
		b := box{w: boxWidth, h: boxHeight}
		if kind == roleAssignments {
			// An assignment on a whole group or subscription has no scope in the drawing.
			if !known[strings.ToLower(r.Parent)] {
				continue
			}
			b = box{w: roleWidth, h: roleHeight}
		}
		number[id] = len(nodes)
		nodes, boxes = append(nodes, r), append(boxes, b)
	}
	var ends [][2]int
	var kinds []string
	seen := map[[2]int]bool{}
	edge := func(from, to int, kind string) {
		if from != to && !seen[[2]int{from, to}] {
			seen[[2]int{from, to}] = true
			ends, kinds = append(ends, [2]int{from, to}), append(kinds, kind)
		}
	}
	for i, r := range nodes {
		role := strings.EqualFold(r.Type, roleAssignments)
		if parent, ok := number[strings.ToLower(r.Parent)]; ok && role {
			edge(i, parent, "grants")
		} else if ok {
			edge(parent, i, "has")
		}
		for _, id := range r.Uses {
			used, ok := number[strings.ToLower(id)]
			switch {
			case !ok || strings.EqualFold(id, r.Parent):
			case !role:
				edge(i, used, "uses")
			case !strings.EqualFold(nodes[used].Type, roleDefinitions):
				edge(used, i, "grants") // from who has the role, to what it is about
			}
		}
	}
	width, height, paths := layered(boxes, ends)
	round := func(f float64) float64 { return math.Round(f*10) / 10 }
	d := drawn{Width: round(width), Height: round(height), Nodes: []drawnNode{}, Edges: []drawnEdge{}}
	for i, b := range boxes {
		d.Nodes = append(d.Nodes, drawnNode{nodes[i].ID, round(b.x), round(b.y), b.w, b.h})
	}
	for i, e := range ends {
		points := paths[i]
		for j := range points {
			points[j] = point{round(points[j][0]), round(points[j][1])}
		}
		d.Edges = append(d.Edges, drawnEdge{nodes[e[0]].ID, nodes[e[1]].ID, kinds[i], points})
	}
	return d
}

// layouts keeps the last drawing. The zero value has none.
type layouts struct {
	mu   sync.Mutex
	key  [sha256.Size]byte
	last drawn
}

func (l *layouts) of(resources []resource) (drawn, error) {
	text, err := json.Marshal(resources)
	if err != nil {
		return drawn{}, err
	}
	sum := sha256.Sum256(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.Nodes == nil || l.key != sum {
		l.key, l.last = sum, draw(resources)
	}
	return l.last, nil
}

// graph answers with the places of the cloud's resources.
func (s *Server) graph(w http.ResponseWriter, r *http.Request) {
	status, text, err := s.cloud.ask(r.Context(), http.MethodGet, "/resources", nil, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the local cloud answers %d", status)
	}
	var all struct {
		Resources []resource `json:"resources"`
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		fail(w, err)
		return
	}
	d, err := s.layouts.of(all.Resources)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, d)
}
