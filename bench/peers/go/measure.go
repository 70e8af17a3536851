// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors

// The Go peer: the workloads of bench/peers/cairn, with the same parameters and line format, one process per cell.
// usage: peers <workload> [args]; the peer's name comes from $PEER, GOMAXPROCS and GOGC from the caller. This file is
// what the workloads share, as ../measure.h is for the C++ peers.
package main

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var peer = "go"

func emit(workload, metric string, v float64, unit string) {
	fmt.Printf("%s %s %s %.4g %s\n", workload, peer, metric, v, unit)
}

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}

func arg(i int, def int) int {
	if len(os.Args) > i {
		n, err := strconv.Atoi(os.Args[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	return def
}

func word(i int) string {
	if len(os.Args) > i {
		return os.Args[i]
	}
	return ""
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

// cpuNS is user+system time of the whole process.
func cpuNS() int64 {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return ru.Utime.Nano() + ru.Stime.Nano()
}

func statusKB(key string) float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, key+":") {
			f := strings.Fields(l)
			v, _ := strconv.ParseFloat(f[1], 64)
			return v
		}
	}
	return math.NaN()
}

func peakRSSMB() float64 { return statusKB("VmHWM") / 1024 }

type rng uint64

func (r *rng) next() uint64 {
	x := uint64(*r)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*r = rng(x)
	return x
}

// hist is a log-linear histogram: 64 buckets to each power of two.
type hist struct {
	b   [64 * 60]int64
	n   int64
	max int64
}

func (h *hist) add(v int64) {
	if v < 0 {
		v = 0
	}
	i := v
	if v >= 64 {
		e := bits.Len64(uint64(v)) - 7
		i = int64(e+1)*64 + (v >> e) - 64
	}
	h.b[i]++
	h.n++
	if v > h.max {
		h.max = v
	}
}

func (h *hist) q(p float64) float64 {
	want := int64(math.Ceil(p * float64(h.n)))
	var c int64
	for i, k := range h.b {
		c += k
		if c >= want && c > 0 {
			if i < 64 {
				return float64(i)
			}
			e := i/64 - 1
			return float64((int64(i%64) + 64) << e)
		}
	}
	return float64(h.max)
}

func (h *hist) emit(w, prefix string) {
	emit(w, prefix+"p50", h.q(.5)/1e3, "us")
	emit(w, prefix+"p99", h.q(.99)/1e3, "us")
	emit(w, prefix+"p99.9", h.q(.999)/1e3, "us")
	emit(w, prefix+"p99.99", h.q(.9999)/1e3, "us")
	emit(w, prefix+"max", float64(h.max)/1e3, "us")
}

// snapshot of what the runtime says about its own collections.
type gcsnap struct {
	total, stopping *metrics.Float64Histogram
	cycles          uint64
	markCPU, gcCPU  float64
}

func snap() gcsnap {
	s := []metrics.Sample{
		{Name: "/sched/pauses/total/gc:seconds"},
		{Name: "/sched/pauses/stopping/gc:seconds"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
	}
	metrics.Read(s)
	cl := func(h *metrics.Float64Histogram) *metrics.Float64Histogram {
		return &metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: slices.Clone(h.Buckets)}
	}
	return gcsnap{cl(s[0].Value.Float64Histogram()), cl(s[1].Value.Float64Histogram()), s[2].Value.Uint64(),
		s[3].Value.Float64() + s[4].Value.Float64() + s[5].Value.Float64(), s[6].Value.Float64()}
}

func histDiff(a, b *metrics.Float64Histogram) (n uint64, p50, max float64) {
	d := make([]uint64, len(b.Counts))
	for i := range d {
		d[i] = b.Counts[i] - a.Counts[i]
		n += d[i]
	}
	var c uint64
	for i, k := range d {
		if k == 0 {
			continue
		}
		up := b.Buckets[i+1]
		if math.IsInf(up, 1) {
			up = b.Buckets[i]
		}
		if c < (n+1)/2 && c+k >= (n+1)/2 {
			p50 = up
		}
		c += k
		max = up
	}
	return
}

func emitGC(w string, a, b gcsnap) {
	emit(w, "gc-cycles", float64(b.cycles-a.cycles), "count")
	n, p50, max := histDiff(a.total, b.total)
	emit(w, "stw-count", float64(n), "count")
	emit(w, "stw-p50", p50*1e6, "us")
	emit(w, "stw-max", max*1e6, "us")
	_, sp50, smax := histDiff(a.stopping, b.stopping)
	emit(w, "stopping-p50", sp50*1e6, "us")
	emit(w, "stopping-max", smax*1e6, "us")
}

// reps runs f (which returns nanoseconds per unit) once to warm up, then 5
// times, and emits the median.
func reps(w, metric, unit string, f func() float64) {
	f()
	var v []float64
	for i := 0; i < 5; i++ {
		v = append(v, f())
	}
	emit(w, metric, median(v), unit)
}

func since(t time.Time) float64 { return float64(time.Since(t).Nanoseconds()) }

func main() {
	if p := os.Getenv("PEER"); p != "" {
		peer = p
	}
	f := map[string]func(){
		"alloc": benchAlloc, "trees": benchTrees, "gcbench": benchGCBench, "mark": benchMark,
		"churn": benchChurn, "hiccup": benchHiccup, "store": benchStore, "lru": benchLRU, "sched": benchSched,
		"chan": benchChan,
		"sync": benchSync,
	}[word(1)]
	if f == nil {
		fail("no such workload")
	}
	f()
}
