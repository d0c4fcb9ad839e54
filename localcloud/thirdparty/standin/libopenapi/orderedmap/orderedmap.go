// Package orderedmap has maps that keep their order.
package orderedmap

import (
	"iter"
	"slices"
)

// Map keeps the order in which its keys were set. The zero value and nil are empty maps; Set takes one that is not nil.
type Map[K comparable, V any] struct {
	keys   []K
	values map[K]V
}

// New returns an empty map.
func New[K comparable, V any]() *Map[K, V] { return &Map[K, V]{} }

// Len returns how many keys a map has.
func Len[K comparable, V any](m *Map[K, V]) int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// Set sets the value of a key, and returns the one of before.
func (m *Map[K, V]) Set(key K, value V) (before V, had bool) {
	if before, had = m.values[key]; !had {
		m.keys = append(m.keys, key)
	}
	if m.values == nil {
		m.values = map[K]V{}
	}
	m.values[key] = value
	return before, had
}

// Delete takes a key out of the map, and returns the value that it had.
func (m *Map[K, V]) Delete(key K) (value V, had bool) {
	if value, had = m.Get(key); had {
		delete(m.values, key)
		m.keys = slices.DeleteFunc(m.keys, func(k K) bool { return k == key })
	}
	return value, had
}

// Get returns the value of a key.
func (m *Map[K, V]) Get(key K) (value V, has bool) {
	if m == nil {
		return value, false
	}
	value, has = m.values[key]
	return value, has
}

// GetOrZero returns the value of a key, or the zero value.
func (m *Map[K, V]) GetOrZero(key K) V {
	value, _ := m.Get(key)
	return value
}

// FromOldest returns the keys and values, in the order in which they were set.
func (m *Map[K, V]) FromOldest() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range Len(m) {
			if !yield(m.keys[i], m.values[m.keys[i]]) {
				return
			}
		}
	}
}

// KeysFromOldest returns the keys, in the order in which they were set.
func (m *Map[K, V]) KeysFromOldest() iter.Seq[K] {
	return func(yield func(K) bool) {
		for key := range m.FromOldest() {
			if !yield(key) {
				return
			}
		}
	}
}
