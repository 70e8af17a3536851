// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors

package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A: allocation. A ring of 1024 live slots; each store drops the old object.

type (
	b16   [2]uint64
	b32   [4]uint64
	b64   [8]uint64
	b128  [16]uint64
	b512  [64]uint64
	b2048 [256]uint64
	s32   struct {
		a, b *s32
		x, y uint64
	}
)

var keep [64]any

func a16(n int) {
	r := make([]*b16, 1024)
	keep[0] = r
	for i := 0; i < n; i++ {
		p := new(b16)
		p[0] = uint64(i)
		r[i&1023] = p
	}
}
func a32(n int) {
	r := make([]*b32, 1024)
	keep[0] = r
	for i := 0; i < n; i++ {
		p := new(b32)
		p[0] = uint64(i)
		r[i&1023] = p
	}
}
func a64(n int) {
	r := make([]*b64, 1024)
	keep[0] = r
	for i := 0; i < n; i++ {
		p := new(b64)
		p[0] = uint64(i)
		r[i&1023] = p
	}
}
func a128(n int) {
	r := make([]*b128, 1024)
	keep[0] = r
	for i := 0; i < n; i++ {
		p := new(b128)
		p[0] = uint64(i)
		r[i&1023] = p
	}
}
func a512(n int) {
	r := make([]*b512, 1024)
	keep[0] = r
	for i := 0; i < n; i++ {
		p := new(b512)
		p[0] = uint64(i)
		r[i&1023] = p
	}
}
func a2048(n int) {
	r := make([]*b2048, 1024)
	keep[0] = r
	for i := 0; i < n; i++ {
		p := new(b2048)
		p[0] = uint64(i)
		r[i&1023] = p
	}
}
func ascan(n int) {
	r := make([]*s32, 1024)
	keep[0] = r
	u, v := new(s32), new(s32)
	keep[1], keep[2] = u, v
	for i := 0; i < n; i++ {
		p := &s32{a: u, b: v, x: uint64(i)}
		r[i&1023] = p
	}
}

// alloc [threads]
func benchAlloc() {
	th := arg(2, 1)
	for _, c := range []struct {
		name string
		f    func(int)
		n    int
	}{
		{"alloc-16", a16, 16e6}, {"alloc-32", a32, 12e6}, {"alloc-64", a64, 8e6}, {"alloc-128", a128, 6e6},
		{"alloc-512", a512, 2e6}, {"alloc-2048", a2048, 8e5}, {"alloc-32scan", ascan, 12e6},
	} {
		w := c.name
		if th > 1 {
			w += "-2t"
		}
		var wall, cpu []float64
		var m0, m1 runtime.MemStats
		c.f(c.n / 4)
		runtime.ReadMemStats(&m0)
		for r := 0; r < 5; r++ {
			c0, t0 := cpuNS(), time.Now()
			if th == 1 {
				c.f(c.n)
			} else {
				var wg sync.WaitGroup
				for k := 0; k < th; k++ {
					wg.Go(func() { c.f(c.n) })
				}
				wg.Wait()
			}
			wall = append(wall, since(t0)/float64(c.n))
			cpu = append(cpu, float64(cpuNS()-c0)/float64(c.n*th))
		}
		runtime.ReadMemStats(&m1)
		emit(w, "wall", median(wall), "ns/obj")
		emit(w, "cpu", median(cpu), "ns/obj")
		total := float64(5 * c.n * th)
		emit(w, "gc-per-Mobj", float64(m1.NumGC-m0.NumGC)/total*1e6, "count")
		if float64(m1.Mallocs-m0.Mallocs) < total {
			panic("objects did not reach the heap")
		}
	}
}

// B: binary trees.

type tn struct{ l, r *tn }

func mktree(d int) *tn {
	if d == 0 {
		return &tn{}
	}
	return &tn{mktree(d - 1), mktree(d - 1)}
}
func (t *tn) check() int {
	if t.l == nil {
		return 1
	}
	return 1 + t.l.check() + t.r.check()
}

// trees <depth> <threads>
func benchTrees() {
	depth, th := arg(2, 18), arg(3, 1)
	w := "trees-1t"
	if th > 1 {
		w = "trees-2t"
	}
	s0, c0, t0 := snap(), cpuNS(), time.Now()
	sum := mktree(depth + 1).check()
	long := mktree(depth)
	for d := 4; d <= depth; d += 2 {
		iters := 1 << (depth - d + 4)
		var wg sync.WaitGroup
		var tot atomic.Int64
		body := func(lo, hi int) {
			c := 0
			for i := lo; i < hi; i++ {
				c += mktree(d).check()
			}
			tot.Add(int64(c))
		}
		if th == 1 {
			body(0, iters)
		} else {
			for k := 0; k < th; k++ {
				wg.Go(func() { body(iters*k/th, iters*(k+1)/th) })
			}
			wg.Wait()
		}
		sum += int(tot.Load())
	}
	sum += long.check()
	emit(w, "wall", since(t0)/1e6, "ms")
	emit(w, "cpu", float64(cpuNS()-c0)/1e6, "ms")
	emit(w, "peak-rss", peakRSSMB(), "MB")
	emit(w, "checksum", float64(sum%100000), "n")
	s1 := snap()
	emitGC(w, s0, s1)
}

// C: GCBench: stretch tree of depth 18, a long-lived tree of depth 16, a
// long-lived array of 500,000 doubles, then short-lived trees of depth 4..16,
// built top-down and bottom-up.

type gn struct {
	l, r *gn
	i, j int32
}

func populate(d int, t *gn) {
	if d <= 0 {
		return
	}
	t.l, t.r = new(gn), new(gn)
	populate(d-1, t.l)
	populate(d-1, t.r)
}
func bottomUp(d int) *gn {
	if d <= 0 {
		return new(gn)
	}
	return &gn{l: bottomUp(d - 1), r: bottomUp(d - 1)}
}

func benchGCBench() {
	size := func(d int) int { return 1<<(d+1) - 1 }
	s0, c0, t0 := snap(), cpuNS(), time.Now()
	keep[0] = bottomUp(18)
	keep[0] = nil
	long := new(gn)
	populate(16, long)
	keep[1] = long
	arr := make([]float64, 500000)
	for i := 1; i < len(arr)/2; i++ {
		arr[i] = 1 / float64(i)
	}
	keep[2] = arr
	for d := 4; d <= 16; d += 2 {
		iters := 2 * size(18) / size(d)
		for i := 0; i < iters; i++ {
			t := new(gn)
			populate(d, t)
			keep[0] = t
		}
		for i := 0; i < iters; i++ {
			keep[0] = bottomUp(d)
		}
	}
	if arr[1000] != 1.0/1000 || long.l == nil {
		panic("bad")
	}
	emit("gcbench", "wall", since(t0)/1e6, "ms")
	emit("gcbench", "cpu", float64(cpuNS()-c0)/1e6, "ms")
	emit("gcbench", "peak-rss", peakRSSMB(), "MB")
	emitGC("gcbench", s0, snap())
}

// D: marking.

type t32 struct {
	l, r *t32
	x, y uint64
}
type g64 struct {
	e [4]*g64
	p [4]uint64
}
type l32 struct {
	next *l32
	p    [3]uint64
}

func mk32(d int) *t32 {
	if d == 1 {
		return &t32{}
	}
	return &t32{l: mk32(d - 1), r: mk32(d - 1)}
}

var gRoot any

func benchMark() {
	kind := word(2)
	var liveMB, objs float64
	r := rng(88172645463325252)
	switch kind {
	case "tree": // 2^23-1 nodes of 32 B
		gRoot = mk32(23)
		objs = 1<<23 - 1
		liveMB = objs * 32 / 1e6
	case "graph": // 4M nodes of 64 B, 4 random out-edges
		n := 4 << 20
		a := make([]*g64, n)
		for i := range a {
			a[i] = new(g64)
		}
		for i := range a {
			for k := range a[i].e {
				a[i].e[k] = a[r.next()%uint64(n)]
			}
		}
		gRoot = a[0]
		objs = float64(n) * .9802
		liveMB = objs * 64 / 1e6
	case "list", "listrand": // 4M nodes of 32 B, linked in allocation order, or shuffled
		n := 4 << 20
		a := make([]*l32, n)
		for i := range a {
			a[i] = new(l32)
		}
		if kind == "listrand" {
			for i := n - 1; i > 0; i-- {
				j := r.next() % uint64(i+1)
				a[i], a[j] = a[j], a[i]
			}
		}
		for i := 0; i+1 < n; i++ {
			a[i].next = a[i+1]
		}
		gRoot = a[0]
		objs = float64(n)
		liveMB = objs * 32 / 1e6
	case "arrays": // 100k arrays of 1024 pointers to 1M random pointer-free 64 B objects
		leaf := make([]*b64, 1<<20)
		for i := range leaf {
			leaf[i] = new(b64)
		}
		top := make([]*[1024]*b64, 100000)
		for i := range top {
			a := new([1024]*b64)
			for k := range a {
				a[k] = leaf[r.next()&(1<<20-1)]
			}
			top[i] = a
		}
		gRoot = top
		objs = 1<<20 + 100000
		liveMB = (100000*8192 + float64(1<<20)*64) / 1e6
	}
	if objs == 0 {
		fail("no such shape")
	}
	w := "mark-" + kind
	runtime.GC()
	runtime.GC()
	s0 := snap()
	var v []float64
	for i := 0; i < 7; i++ {
		t0 := time.Now()
		runtime.GC()
		v = append(v, since(t0)/1e6)
	}
	s1 := snap()
	ms := median(v)
	emit(w, "full-gc", ms, "ms")
	emit(w, "live", liveMB, "MB")
	emit(w, "rate", liveMB/ms*1e3, "MB/s")
	emit(w, "objs", objs/ms/1e3, "Mobj/s")
	emit(w, "mark-cpu", (s1.markCPU-s0.markCPU)/7*1e3, "ms")
	_, _, mx := histDiff(s0.total, s1.total)
	emit(w, "stw-max", mx*1e6, "us")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	emit(w, "heap-inuse", float64(m.HeapAlloc)/1e6, "MB")
	runtime.KeepAlive(gRoot)
}

// The pointer-rich heap of E-big and F: n nodes of 128 B, edges 0 and 1 form a
// binary tree, edges 2 and 3 are random.

type n128 struct {
	e [4]*n128
	p [12]uint64
}

func bigHeap(n int) *n128 {
	a := make([]*n128, n)
	r := rng(88172645463325252)
	for i := range a {
		a[i] = new(n128)
	}
	for i, p := range a {
		if 2*i+1 < n {
			p.e[0] = a[2*i+1]
		}
		if 2*i+2 < n {
			p.e[1] = a[2*i+2]
		}
		p.e[2] = a[r.next()%uint64(n)]
		p.e[3] = a[r.next()%uint64(n)]
	}
	return a[0]
}

// E: churn <ring|map> <seconds> <big-nodes>

func benchChurn() {
	kind, secs, big := word(2), arg(3, 5), arg(4, 0)
	if kind != "ring" && kind != "map" {
		fail("no such table")
	}
	w := "churn-" + kind
	if big > 0 {
		w += "-2GiB"
		gRoot = bigHeap(big)
	}
	const live = 200000
	const most = 10000000
	ring := make([][]byte, live)
	m := make(map[int][]byte, live)
	var h hist
	var pat [256][1024]byte // filling is a copy, as fast as the other peers' memset
	for v := range pat {
		for k := range pat[v] {
			pat[v][k] = byte(v)
		}
	}
	push := func(i int) {
		p := make([]byte, 1024)
		copy(p, pat[byte(i)][:])
		if kind == "ring" {
			ring[i%live] = p
		} else {
			if i >= live {
				delete(m, i-live)
			}
			m[i] = p
		}
	}
	for i := 0; i < live; i++ {
		push(i)
	}
	runtime.GC()
	runtime.GC()
	s0, c0 := snap(), cpuNS()
	start := time.Now()
	end := time.Duration(secs) * time.Second
	n := live
	t0 := time.Duration(0)
	for ; n < most; n++ {
		push(n)
		t1 := time.Since(start)
		h.add(int64(t1 - t0))
		t0 = t1
		if t1 > end {
			break
		}
	}
	s1 := snap()
	emit(w, "rate", float64(n-live)/t0.Seconds()/1e6, "Mmsg/s")
	emit(w, "cpu", float64(cpuNS()-c0)/float64(n-live), "ns/msg")
	h.emit(w, "insert-")
	emitGC(w, s0, s1)
	emit(w, "peak-rss", peakRSSMB(), "MB")
	keep[0], keep[1] = ring, m
	runtime.KeepAlive(gRoot)
}

// F: hiccup <seconds> <big-nodes>: a unit of 4096 pointer stores, timed, beside
// a thread that allocates 64 B objects as hard as it can.

type p64 struct {
	a *p64
	p [7]uint64
}

func unit(dst []*p64, r *rng) {
	x := uint64(*r)
	for i := 0; i < 4096; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		dst[x&16383] = dst[(x>>20)&16383]
	}
	*r = rng(x)
}

func benchHiccup() {
	secs, big := arg(2, 20), arg(3, 8<<20)
	gRoot = bigHeap(big)
	dst := make([]*p64, 16384)
	for i := range dst {
		dst[i] = new(p64)
	}
	keep[0] = dst
	runtime.GC()
	runtime.GC()
	var h, quiet hist
	r := rng(12345)
	t0 := time.Now()
	start := t0
	last := time.Duration(0)
	for last < 500*time.Millisecond {
		unit(dst, &r)
		t := time.Since(start)
		quiet.add(int64(t - last))
		last = t
	}
	var stop atomic.Bool
	var count atomic.Int64
	done := make(chan bool)
	go func() {
		ring := make([]*p64, 1024)
		keep[1] = ring
		n := 0
		for !stop.Load() {
			for i := 0; i < 1024; i++ {
				p := new(p64)
				p.p[0] = uint64(i)
				ring[i] = p
			}
			n += 1024
		}
		count.Store(int64(n))
		done <- true
	}()
	s0 := snap()
	start = time.Now()
	last = 0
	end := time.Duration(secs) * time.Second
	for last < end {
		unit(dst, &r)
		t := time.Since(start)
		h.add(int64(t - last))
		last = t
	}
	s1 := snap()
	stop.Store(true)
	<-done
	emit("hiccup", "quiet-p50", quiet.q(.5)/1e3, "us")
	emit("hiccup", "quiet-p99.9", quiet.q(.999)/1e3, "us")
	h.emit("hiccup", "unit-")
	emit("hiccup", "units", float64(h.n)/last.Seconds()/1e3, "k/s")
	emit("hiccup", "alloc-rate", float64(count.Load())/last.Seconds()/1e6, "Mobj/s")
	emitGC("hiccup", s0, s1)
	emit("hiccup", "peak-rss", peakRSSMB(), "MB")
	runtime.KeepAlive(gRoot)
}
