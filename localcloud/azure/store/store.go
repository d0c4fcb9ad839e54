// Package store keeps what the local cloud knows, as JSON in buckets of one bbolt file, so that a restart goes on where the
// last run ended.
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

// lockTime is how long Open waits for another process to let go of the file.
const lockTime = 2 * time.Second

// ErrDamaged is that a file is there and is no store, or not a whole one.
var ErrDamaged = errors.New("the file is damaged")

// Store is one file. Its transactions are serialised: a read sees either all of a write or nothing.
type Store struct{ db *bbolt.DB }

// Tx is a transaction; it must not be used after the function it was given to has returned.
type Tx struct{ tx *bbolt.Tx }

// Open opens the file, with mode 0600, or makes it. It reads all of it, and returns ErrDamaged where that cannot be done: what is
// found later would be found in the middle of a transaction.
func Open(file string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("making the store's directory: %w", err)
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

// open has what bbolt panics for, and what it reads beyond the end of its mapped file, be errors.
func open(file string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, fault)
		}
	}()
	// NoSync: a crash of the machine may lose the store of a throw-away cloud; one of the process does not.
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
		return fmt.Errorf("it has %d bytes of %d", info.Size(), tx.Size())
	}
	return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
		return bucket.ForEach(func(key, value []byte) error {
			if !json.Valid(value) {
				return fmt.Errorf("%q in %q is no JSON", key, name)
			}
			return nil
		})
	})
}

// Close ends the store after the transactions under way.
func (s *Store) Close() error { return s.db.Close() }

// View runs f in a read-only transaction.
func (s *Store) View(f func(*Tx) error) error {
	return s.db.View(func(tx *bbolt.Tx) error { return f(&Tx{tx}) })
}

// Update runs f in a transaction that is kept where f returns nil, and leaves no trace otherwise.
func (s *Store) Update(f func(*Tx) error) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return f(&Tx{tx}) })
}

// Get reads the value under key; ok is false where there is none.
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
		return fmt.Errorf("making bucket %s: %w", bucket, err)
	}
	return b.Put([]byte(key), data)
}

// Delete removes key; that it was not there is no error.
func Delete(tx *Tx, bucket, key string) error {
	b := tx.tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	return b.Delete([]byte(key))
}

// List reads every value whose key starts with prefix, in the order of the keys.
func List[T any](tx *Tx, bucket, prefix string) ([]T, error) {
	return ListWith[T](tx, bucket, prefix, "")
}

// ListWith is List of the values whose key also contains a text. The others are not decoded, which is what takes time.
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
