// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors

package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe"
)

// The runtime's own "a mark is running" flag, so that each batch of stores can
// be told apart (needs -ldflags=-checklinkname=0).
//
//go:linkname writeBarrier runtime.writeBarrier
var writeBarrier struct {
	enabled bool
	pad     [3]byte
	alignme uint64
}

func barrierOn() bool { return writeBarrier.enabled }

//go:noinline
func stores(dst, src []*p64, n, k int) {
	m := len(dst) - 1
	src = src[:len(dst)]
	for i := 0; i < n; i++ {
		dst[i&m] = src[(i*7+i>>10+k)&m]
	}
}

//go:noinline
func intStores(dst, src []uintptr, n, k int) {
	m := len(dst) - 1
	src = src[:len(dst)]
	for i := 0; i < n; i++ {
		dst[i&m] = src[(i*7+i>>10+k)&m]
	}
}

//go:noinline
func fieldStores(a []*p64, n, k int) {
	m := len(a) - 1
	for i := 0; i < n; i++ {
		a[i&m].a = a[(i*7+i>>10+k)&m]
	}
}

// H: the price of a pointer store. 1024 slots (in cache).
func benchStore() {
	gRoot = bigHeap(4 << 20)
	dst, src := make([]*p64, 1024), make([]*p64, 1024)
	id, is := make([]uintptr, 1024), make([]uintptr, 1024)
	for i := range src {
		src[i] = new(p64)
		dst[i] = src[i]
	}
	keep[0], keep[1], keep[2], keep[3] = dst, src, id, is
	const batch = 10000
	measure := func(f func(), on *bool, want int) []float64 {
		var v []float64
		for len(v) < want {
			b0 := barrierOn()
			t0 := time.Now()
			f()
			dt := since(t0)
			b1 := barrierOn()
			if on == nil || (b0 == *on && b1 == *on) {
				v = append(v, dt/batch)
			}
		}
		return v
	}
	// The mean has in it what takes the processor meanwhile, the median has not.
	row := func(figure string, ns []float64) {
		sum := 0.0
		for _, x := range ns {
			sum += x
		}
		emit("store", figure+"-mean", sum/float64(len(ns)), "ns")
		emit("store", figure, median(ns), "ns")
	}
	k := 0 // differs from call to call, so that each store changes the slot
	slice := func() { k++; stores(dst, src, batch, k) }
	field := func() { k++; fieldStores(src, batch, k) }
	ints := func() { k++; intStores(id, is, batch, k) }
	yes, no := true, false
	runtime.GC()
	measure(ints, nil, 5000)
	measure(slice, &no, 1000)
	measure(field, &no, 1000)
	row("int-idle", measure(ints, nil, 5000))
	row("slice-idle", measure(slice, &no, 5000))
	row("field-idle", measure(field, &no, 5000))
	var stop atomic.Bool
	var wg sync.WaitGroup
	var gcs int
	wg.Go(func() {
		for !stop.Load() {
			runtime.GC()
			gcs++
		}
	})
	row("slice-marking", measure(slice, &yes, 10000))
	row("field-marking", measure(field, &yes, 10000))
	row("int-marking", measure(ints, &yes, 10000))
	stop.Store(true)
	wg.Wait()
	if gcs == 0 {
		panic("no collection ran")
	}
	emit("store", "gcs", float64(gcs), "count")
	runtime.KeepAlive(gRoot)
}
