// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors

package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// G: goroutines. sched micro | park N | deep N.

func schedName(row string) string { return fmt.Sprintf("sched-%s-%dp", row, runtime.GOMAXPROCS(0)) }

// Nine calls further down, each frame with a pointer.
//
//go:noinline
func descend(depth int, p *int, parked *sync.WaitGroup, leave chan bool) int {
	var pad [4]*int
	pad[depth&3] = p
	below := 0
	if depth == 0 {
		parked.Done()
		<-leave
	} else {
		below = descend(depth-1, pad[depth&3], parked, leave)
	}
	return below + *pad[depth&3]
}

// Resident memory with the page tables, in bytes.
func resident() float64 { return (statusKB("VmRSS") + statusKB("VmPTE")) * 1024 }

// n goroutines wait at once, ten frames deep or in the function that they were started with.
func schedPark(n int, deep bool) {
	row := "park"
	if deep {
		row = "deep"
	}
	w := schedName(fmt.Sprintf("%s-%dk", row, n/1000))
	runtime.GC()
	before := resident()
	leave := make(chan bool)
	var parked sync.WaitGroup
	parked.Add(n)
	t0 := time.Now()
	for i := 0; i < n; i++ {
		if deep {
			go func() { descend(9, new(int), &parked, leave) }()
		} else {
			go func() { parked.Done(); <-leave }()
		}
	}
	parked.Wait()
	emit(w, "spawn", since(t0)/float64(n), "ns")
	emit(w, "resident", (resident()-before)/float64(n), "B/goroutine")
	s0 := snap()
	t0 = time.Now()
	runtime.GC()
	emit(w, "first-full-gc", since(t0)/1e6, "ms")
	cpu := cpuNS()
	var full []float64
	for i := 0; i < 5; i++ {
		t0 = time.Now()
		runtime.GC()
		full = append(full, since(t0)/1e6)
	}
	emit(w, "full-gc", median(full), "ms")
	emit(w, "mark-cpu", float64(cpuNS()-cpu)/5e6, "ms")
	_, _, longest := histDiff(s0.total, snap().total)
	emit(w, "stw-max", longest*1e6, "us")
	t0 = time.Now()
	close(leave)
	for runtime.NumGoroutine() > 1 {
		time.Sleep(100 * time.Microsecond)
	}
	emit(w, "wake-and-exit", since(t0)/float64(n), "ns")
	time.Sleep(10 * time.Second)
	emit(w, "left-after-10s", (resident()-before)/float64(n), "B/goroutine")
}

func schedMicro() {
	reps(schedName("spawn-join-1"), "op", "ns", func() float64 {
		const n = 300000
		t0 := time.Now()
		for i := 0; i < n; i++ {
			c := make(chan bool)
			go func() { close(c) }()
			<-c
		}
		return since(t0) / n
	})
	reps(schedName("spawn-join-1000"), "op", "ns", func() float64 {
		const n = 500
		var sum atomic.Int64
		t0 := time.Now()
		for i := 0; i < n; i++ {
			var wg sync.WaitGroup
			for k := 0; k < 1000; k++ {
				wg.Add(1)
				go func() { sum.Add(1); wg.Done() }()
			}
			wg.Wait()
		}
		if sum.Load() != n*1000 {
			panic("lost")
		}
		return since(t0) / (n * 1000)
	})
	reps(schedName("yield"), "switch", "ns", func() float64 {
		const n = 1000000
		var wg sync.WaitGroup
		t0 := time.Now()
		for g := 0; g < 2; g++ {
			wg.Go(func() {
				for i := 0; i < n; i++ {
					runtime.Gosched()
				}
			})
		}
		wg.Wait()
		return since(t0) / (2 * n)
	})
	reps(schedName("waitgroup"), "add-done-wait", "ns", func() float64 {
		const n = 20000000
		var wg sync.WaitGroup
		t0 := time.Now()
		for i := 0; i < n; i++ {
			wg.Add(1)
			wg.Done()
			wg.Wait()
		}
		return since(t0) / n
	})
	// 100,000 goroutines sleep for 0 to 50 ms each; until all are done.
	reps(schedName("sleep-100k"), "op", "ns", func() float64 {
		const n = 100000
		var wg sync.WaitGroup
		r := rng(99)
		t0 := time.Now()
		for i := 0; i < n; i++ {
			d := time.Duration(r.next() % 50e6)
			wg.Go(func() { time.Sleep(d) })
		}
		wg.Wait()
		return since(t0) / n
	})
	reps(schedName("timer-create-stop"), "op", "ns", func() float64 {
		const n = 2000000
		t0 := time.Now()
		for i := 0; i < n; i++ {
			t := time.NewTimer(time.Hour)
			t.Stop()
		}
		return since(t0) / n
	})
	// 500,000 functions are called after 0 to 50 ms each; until the last one was.
	reps(schedName("timer-fire"), "op", "ns", func() float64 {
		const n = 500000
		var wg sync.WaitGroup
		wg.Add(n)
		r := rng(99)
		t0 := time.Now()
		for i := 0; i < n; i++ {
			time.AfterFunc(time.Duration(r.next()%50e6), wg.Done)
		}
		wg.Wait()
		return since(t0) / n
	})
}

func benchSched() {
	switch word(2) {
	case "micro":
		schedMicro()
	case "park":
		schedPark(arg(3, 1000000), false)
	case "deep":
		schedPark(arg(3, 100000), true)
	default:
		fail("no such workload")
	}
}
