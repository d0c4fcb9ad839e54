// Package store stores the state of the local cloud as JSON, in buckets of one bbolt file, so that it survives a
// restart.
package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTime is the time that Open waits for another process to close the file.
const lockTime = 2 * time.Second

// ErrDamaged is returned if a file is not a store or is incomplete.
var ErrDamaged = errors.New("the file is damaged")

// Store is an open file. Its transactions are serialized: a read sees either all of a write or nothing.
type Store struct{ db *bbolt.DB }

// Tx is a transaction. It must not be used after the function that received it has returned.
type Tx struct{ tx *bbolt.Tx }

// Open opens the file, or creates it with mode 0600. It reads the whole file and returns ErrDamaged if that fails, so
// that damage is not found later, during a transaction.
func Open(file string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("creating the directory of the store: %w", err)
	}
	db, err := open(file)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("opening %s: another local cloud has it open", file)
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", file, err)
	}
	return &Store{db}, nil
}

// open converts panics of bbolt, and faults from reading past the end of the mapped file, to errors.
func open(file string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, fault)
		}
	}()
	// With NoSync, a crash of the machine may lose the store; a crash of the process does not.
	db, err = bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockTime, NoSync: true, NoGrowSync: true})
	switch {
	case errors.Is(err, berrors.ErrInvalid),
		errors.Is(err, berrors.ErrVersionMismatch),
		errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return nil, err
	}
	if err := db.View(readAll); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return db, nil
}

func readAll(tx *bbolt.Tx) error {
	info, err := os.Stat(tx.DB().Path())
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("the file has %d bytes, want %d", info.Size(), tx.Size())
	}
	return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
		return bucket.ForEach(func(key, value []byte) error {
			if !json.Valid(value) {
				return fmt.Errorf("%q in %q is not JSON", key, name)
			}
			return nil
		})
	})
}

// Close closes the store after the transactions under way.
func (s *Store) Close() error { return s.db.Close() }

// View runs f in a read-only transaction.
func (s *Store) View(f func(*Tx) error) error {
	return s.db.View(func(tx *bbolt.Tx) error { return f(&Tx{tx}) })
}

// Update runs f in a transaction. It commits the transaction if f returns nil, and rolls it back otherwise.
func (s *Store) Update(f func(*Tx) error) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return f(&Tx{tx}) })
}

// Get reads the value under key. ok is false if there is none.
func Get[T any](tx *Tx, bucket, key string) (value T, ok bool, err error) {
	b := tx.tx.Bucket([]byte(bucket))
	if b == nil {
		return value, false, nil
	}
	data := b.Get([]byte(key))
	if data == nil {
		return value, false, nil
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return value, false, fmt.Errorf("reading %s %q from the store: %w", bucket, key, err)
	}
	return value, true, nil
}

// Put writes the value under key.
func Put(tx *Tx, bucket, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s %q: %w", bucket, key, err)
	}
	b, err := tx.tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return fmt.Errorf("creating bucket %s: %w", bucket, err)
	}
	return b.Put([]byte(key), data)
}

// Delete removes key. It returns no error if key does not exist.
func Delete(tx *Tx, bucket, key string) error {
	b := tx.tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	return b.Delete([]byte(key))
}

// List reads the values whose keys start with prefix, in the order of the keys.
func List[T any](tx *Tx, bucket, prefix string) ([]T, error) {
	return ListWith[T](tx, bucket, prefix, "")
}

// ListWith is List for keys that also contain within. It does not decode other values, because that takes most of the
// time.
func ListWith[T any](tx *Tx, bucket, prefix, within string) ([]T, error) {
	b := tx.tx.Bucket([]byte(bucket))
	if b == nil {
		return nil, nil
	}
	var values []T
	c := b.Cursor()
	for k, data := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, data = c.Next() {
		if !bytes.Contains(k, []byte(within)) {
			continue
		}
		var value T
		if err := json.Unmarshal(data, &value); err != nil {
			return nil, fmt.Errorf("reading %s %q from the store: %w", bucket, k, err)
		}
		values = append(values, value)
	}
	return values, nil
}
