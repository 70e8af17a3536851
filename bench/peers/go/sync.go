// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors

package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// S: synchronisation.

func syncName(row string) string { return fmt.Sprintf("sync-%s-%dp", row, runtime.GOMAXPROCS(0)) }

// n times f(i), by each of the goroutines: nanoseconds for one.
func syncRow(what string, goroutines, n int, f func(int)) {
	reps(syncName(what), "op", "ns", func() float64 {
		t0 := time.Now()
		if goroutines == 1 {
			for i := 0; i < n; i++ {
				f(i)
			}
		} else {
			var all sync.WaitGroup
			for g := 0; g < goroutines; g++ {
				all.Go(func() {
					for i := 0; i < n; i++ {
						f(i)
					}
				})
			}
			all.Wait()
		}
		return since(t0) / (float64(n) * float64(goroutines))
	})
}

type syncItem struct {
	next *syncItem
	n    int
}

func syncLocks() {
	var m sync.Mutex
	var rw sync.RWMutex
	var wg sync.WaitGroup
	counter := 0
	lock := func(int) { m.Lock(); counter++; m.Unlock() }
	read := func(int) { rw.RLock(); _ = counter; rw.RUnlock() }
	syncRow("mutex", 1, 10000000, lock)
	syncRow("mutex-8", 8, 1000000, lock)
	syncRow("rwmutex-read", 1, 10000000, read)
	syncRow("rwmutex-read-8", 8, 1000000, read)
	syncRow("waitgroup", 1, 10000000, func(int) { wg.Add(1); wg.Done(); wg.Wait() })
}

func syncContainers() {
	pool := sync.Pool{New: func() any { return new(syncItem) }}
	use := func(int) { pool.Put(pool.Get()) }
	syncRow("pool", 1, 10000000, use)
	syncRow("pool-8", 8, 1000000, use)

	const keys = 1 << 14
	var m sync.Map
	for i := 0; i < keys; i++ {
		m.Store(i, i)
	}
	load := func(i int) {
		v, ok := m.Load(i * 7 & (keys - 1))
		if !ok || v.(int) < 0 {
			panic("lost")
		}
	}
	store := func(i int) { m.Store(i*7&(keys-1), i) }
	syncRow("map-load", 1, 5000000, load)
	syncRow("map-load-8", 8, 500000, load)
	syncRow("map-store", 1, 3000000, store)
	syncRow("map-store-8", 8, 300000, store)
	syncRow("map-insert-delete", 1, 1000000, func(i int) { m.Store(keys+i, i); m.Delete(keys + i) })
	var value atomic.Value
	value.Store(1)
	syncRow("value-load", 1, 10000000, func(int) {
		if value.Load().(int) != 1 {
			panic("lost")
		}
	})
}

// A tree of 10,000 contexts, each below the one whose number is a tenth of its own.
func syncContexts() {
	const nodes = 10000
	var makes, cancels []float64
	for round := 0; round < 51; round++ {
		all := make([]context.Context, nodes)
		t0 := time.Now()
		top, cancelTop := context.WithCancel(context.Background())
		all[0] = top
		for i := 1; i < nodes; i++ {
			all[i], _ = context.WithCancel(all[i/10])
		}
		t1 := time.Now()
		cancelTop()
		t2 := time.Now()
		if all[nodes-1].Err() == nil {
			panic("not cancelled")
		}
		if round > 0 {
			makes = append(makes, float64(t1.Sub(t0).Nanoseconds())/nodes)
			cancels = append(cancels, float64(t2.Sub(t1).Nanoseconds())/nodes)
		}
	}
	emit(syncName("context"), "make", median(makes), "ns")
	emit(syncName("context"), "cancel", median(cancels), "ns")
}

func benchSync() {
	syncLocks()
	syncContainers()
	syncContexts()
}
