package overview

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Resource is a resource without its properties.
type Resource struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Name     string `json:"name"`
	Location string `json:"location,omitempty"`
	// Parent is the id of what the resource is in: the resource above it, its group, its subscription, or the scope of an
	// extension resource. It is empty for subscriptions.
	Parent string `json:"parent"`
	// State is the provisioning state: Succeeded for types that have none, Pending for a role assignment that is not
	// honoured yet, Deleted for what can be recovered.
	State   string `json:"state"`
	Deleted bool   `json:"deleted,omitempty"`
	// Uses are the ids of other resources that the resource names.
	Uses []string `json:"uses"`
	// APIVersion is the newest stable API version of the type that is served here.
	APIVersion string            `json:"apiVersion,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	// Role and Principal are the names of those that a role assignment joins.
	Role      string `json:"role,omitempty"`
	Principal string `json:"principal,omitempty"`
}

// inventory collects resources.
type inventory struct {
	*Service
	tx        *store.Tx
	resources []Resource
	ids       map[string]string   // of resources, by the id without case
	named     map[string]string   // ids, by what stands for a resource elsewhere: an object id, an issuer
	mentions  map[string][]string // by id: texts that may name resources
}

// Resources lists all resources of the tenant's subscriptions.
func (s *Service) Resources() ([]Resource, error) {
	all := inventory{Service: s, ids: map[string]string{}, named: map[string]string{}, mentions: map[string][]string{}}
	err := s.Store.View(func(tx *store.Tx) error {
		all.tx = tx
		for _, collect := range []func() error{all.subscriptions, all.stored, all.vaults, all.roles} {
			if err := collect(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range all.resources {
		res := &all.resources[i]
		res.Parent = all.parent(res.ID)
		res.Uses = all.uses(*res)
	}
	return all.resources, nil
}

// add takes a resource, and what in it may name others.
func (all *inventory) add(res Resource, mentions ...string) {
	if kind := all.Manager.TypeOf(res.ID); kind != nil {
		res.APIVersion = newest(all.Manager.APIVersions(kind))
	}
	all.resources = append(all.resources, res)
	all.ids[fold.Lower(res.ID)] = res.ID
	all.mentions[res.ID] = mentions
}

// newest returns the newest stable API version, or the newest preview where there is no other.
func newest(versions []string) string {
	stable := slices.DeleteFunc(slices.Clone(versions), func(v string) bool { return strings.HasSuffix(v, "-preview") })
	if len(stable) > 0 {
		versions = stable
	}
	if len(versions) == 0 {
		return ""
	}
	return slices.Max(versions)
}

func (all *inventory) subscriptions() error {
	for _, id := range all.Subscriptions {
		all.add(Resource{
			ID: "/subscriptions/" + id, Type: "Microsoft.Resources/subscriptions", Name: id, State: arm.Succeeded,
		})
	}
	return nil
}

// stored adds what Resource Manager keeps.
func (all *inventory) stored() error {
	found, err := arm.Under(all.tx, "", "")
	for _, res := range found {
		all.addStored(res, arm.ProvisioningState(res))
	}
	return err
}

func (all *inventory) addStored(res arm.Object, state string) {
	if state == "" {
		state = arm.Succeeded
	}
	id := arm.Text(res, "id")
	tags := map[string]string{}
	given, _ := res["tags"].(arm.Object)
	for name := range given {
		tags[name] = arm.Text(given, name)
	}
	var mentions []string
	collect(&mentions, res["properties"])
	collect(&mentions, res["identity"])
	all.add(Resource{
		ID: id, Type: arm.Text(res, "type"), Name: arm.Text(res, "name"), Location: arm.Text(res, "location"),
		State: state, Deleted: state == deleted, Tags: tags,
	}, mentions...)
	properties, _ := res["properties"].(arm.Object)
	identity, _ := res["identity"].(arm.Object)
	issuer, _ := properties["oidcIssuerProfile"].(arm.Object)
	for _, name := range []string{
		arm.Text(properties, "principalId"), arm.Text(identity, "principalId"), arm.Text(issuer, "issuerURL"),
		arm.Text(properties, "customerId"),
	} {
		if name != "" {
			all.named[fold.Lower(name)] = id
		}
	}
}

// collect finds the texts in a value, the names of properties too: some are ids.
func collect(into *[]string, value any) {
	switch value := value.(type) {
	case string:
		*into = append(*into, value)
	case []any:
		for _, one := range value {
			collect(into, one)
		}
	case arm.Object:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			*into = append(*into, name)
			collect(into, value[name])
		}
	}
}

// deleted is the state of what can be recovered.
const deleted = "Deleted"

// vaults adds deleted vaults, and of all vaults the names of their objects.
func (all *inventory) vaults() error {
	vaults, err := keyvault.Vaults(all.tx)
	if err != nil {
		return err
	}
	for _, vault := range vaults {
		all.named[fold.Lower(vault.URI())] = vault.ID
		if vault.Deleted != nil {
			var res arm.Object
			if err := json.Unmarshal(vault.Deleted.Resource, &res); err != nil {
				return fmt.Errorf("reading the deleted vault %s: %w", vault.Name, err)
			}
			all.addStored(res, deleted)
		}
		objects, err := keyvault.Names(all.tx, vault)
		if err != nil {
			return err
		}
		for _, object := range objects {
			state := arm.Succeeded
			if object.Deleted || vault.Deleted != nil {
				state = deleted
			}
			kind := string(object.Kind) + "s"
			all.add(Resource{
				ID: vault.ID + "/" + kind + "/" + object.Name, Type: "Microsoft.KeyVault/vaults/" + kind, Name: object.Name,
				Location: vault.Location, State: state, Deleted: state == deleted,
			})
		}
	}
	return nil
}

// roles adds role assignments and custom roles.
func (all *inventory) roles() error {
	assignments, err := authorization.List(all.tx)
	if err != nil {
		return err
	}
	for _, a := range assignments {
		role, _, err := authorization.FindRole(all.tx, a.RoleID)
		if err != nil {
			return err
		}
		principal, err := entra.CallerOf(all.tx, a.PrincipalID)
		if err != nil {
			return err
		}
		state := arm.Succeeded
		if !a.Effective() {
			state = "Pending"
		}
		all.add(Resource{
			ID: a.ID, Type: "Microsoft.Authorization/roleAssignments", Name: a.Name, State: state, Role: role.Name,
			Principal: principal.Name,
		}, a.PrincipalID, roleID(a.RoleID))
	}
	roles, err := authorization.ListRoles(all.tx)
	for _, role := range roles {
		if !role.Custom() {
			continue
		}
		id := role.AssignableScopes[0] + "/providers/Microsoft.Authorization/roleDefinitions/" + role.ID
		all.add(Resource{
			ID: id, Type: "Microsoft.Authorization/roleDefinitions", Name: role.ID, State: arm.Succeeded, Role: role.Name,
		})
		all.named[roleID(role.ID)] = id
	}
	return err
}

// roleID is what stands for a role among what resources name.
func roleID(guid string) string { return "role " + fold.Lower(guid) }

// parent returns the id of what the resource with an id is in.
func (all *inventory) parent(id string) string {
	for at := id; at != ""; {
		t := arm.Parse(http.MethodGet, at)
		switch {
		case len(t.Names) > 1:
			at = arm.Cut(at, 2)
		case fold.Equal(t.Scope, at):
			return ""
		default:
			at = t.Scope
		}
		if found, ok := all.ids[fold.Lower(at)]; ok {
			return found
		}
	}
	return ""
}

// uses returns the ids of the resources that a resource names, but for those that it is in, or that are in it.
func (all *inventory) uses(res Resource) []string {
	found := []string{}
	for _, text := range all.mentions[res.ID] {
		text = fold.Lower(text)
		id, ok := all.ids[strings.TrimSuffix(text, "/")]
		if !ok {
			id, ok = all.named[text]
		}
		if !ok && strings.HasPrefix(text, "https://") { // an object of a vault
			host, _, _ := strings.Cut(strings.TrimPrefix(text, "https://"), "/")
			id, ok = all.named["https://"+host+"/"]
		}
		if ok && !authorization.Covers(id, res.ID) && !authorization.Covers(res.ID, id) && !slices.Contains(found, id) {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	return found
}

// Operation is a long operation that is under way.
type Operation struct {
	Resource string    `json:"resource"`
	What     string    `json:"what"` // create, update or delete
	Started  time.Time `json:"started"`
	// Ends is when the operation ends at the earliest, and LeftMs how many milliseconds that is from now. They are missing
	// where nobody knows.
	Ends   *time.Time `json:"ends,omitempty"`
	LeftMs *int64     `json:"leftMs,omitempty"`
}

// Operations lists the operations under way, the oldest first.
func (s *Service) Operations() ([]Operation, error) {
	all := []Operation{}
	err := s.Store.View(func(tx *store.Tx) error {
		found, err := arm.UnderWay(tx)
		for _, op := range found {
			one := Operation{Resource: op.Resource, What: verbs[op.Doing], Started: op.Start}
			if op.Takes > 0 {
				ends := op.Start.Add(op.Takes)
				left := max(0, time.Until(ends).Milliseconds())
				one.Ends, one.LeftMs = &ends, &left
			}
			all = append(all, one)
		}
		return err
	})
	slices.SortStableFunc(all, func(a, b Operation) int { return a.Started.Compare(b.Started) })
	return all, err
}

var verbs = map[string]string{arm.Creating: "create", arm.Updating: "update", arm.Deleting: "delete"}
