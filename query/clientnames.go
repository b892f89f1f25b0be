package query

import "context"

// clientNames are the names of clients by tenant.
type clientNames struct {
	wanted map[string][]string
	names  map[string]map[string]string
}

func newClientNames() *clientNames {
	return &clientNames{wanted: map[string][]string{}, names: map[string]map[string]string{}}
}

func (n *clientNames) want(tenant, clientID string) {
	n.wanted[tenant] = append(n.wanted[tenant], clientID)
}

func (n *clientNames) read(ctx context.Context, store Store) error {
	for tenant, clients := range n.wanted {
		names, err := store.ClientNames(ctx, tenant, clients)
		if err != nil {
			return err
		}
		n.names[tenant] = names
	}
	return nil
}

func (n *clientNames) of(tenant, clientID string) string { return n.names[tenant][clientID] }
