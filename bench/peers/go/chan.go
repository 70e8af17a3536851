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

// K: channels.

func chanName(row string) string { return fmt.Sprintf("chan-%s-%dp", row, runtime.GOMAXPROCS(0)) }

var madeChan chan int

func exchange(producers, consumers, capacity, n int) float64 {
	c := make(chan int, capacity)
	var sending, receiving sync.WaitGroup
	var received atomic.Int64
	t0 := time.Now()
	for p := 0; p < producers; p++ {
		sending.Go(func() {
			for i := 0; i < n/producers; i++ {
				c <- i
			}
		})
	}
	for k := 0; k < consumers; k++ {
		receiving.Go(func() {
			var count int64
			for range c {
				count++
			}
			received.Add(count)
		})
	}
	sending.Wait()
	close(c)
	receiving.Wait()
	if received.Load() != int64(n/producers*producers) {
		panic("lost")
	}
	return since(t0) / float64(n)
}

// One receiver over four channels with a sender each.
func selectOverFour(capacity int) float64 {
	const n = 1000000
	var c [4]chan int
	for i := range c {
		c[i] = make(chan int, capacity)
		go func() {
			for k := 0; k < n/4; k++ {
				c[i] <- k
			}
		}()
	}
	sum := 0
	t0 := time.Now()
	for i := 0; i < n; i++ {
		select {
		case v := <-c[0]:
			sum += v
		case v := <-c[1]:
			sum += v
		case v := <-c[2]:
			sum += v
		case v := <-c[3]:
			sum += v
		}
	}
	if sum == 0 {
		panic("lost")
	}
	return since(t0) / n
}

func benchChan() {
	reps(chanName("uncontended"), "op", "ns", func() float64 {
		const n = 5000000
		c := make(chan int, 128)
		t0 := time.Now()
		for i := 0; i < n; i++ {
			c <- i
			if <-c != i {
				panic("lost")
			}
		}
		return since(t0) / n
	})
	reps(chanName("pingpong"), "roundtrip", "ns", func() float64 {
		const n = 500000
		a, b := make(chan int), make(chan int)
		go func() {
			for v := range a {
				b <- v + 1
			}
			close(b)
		}()
		t0 := time.Now()
		for i := 0; i < n; i++ {
			a <- i
			if <-b != i+1 {
				panic("lost")
			}
		}
		ns := since(t0) / n
		close(a)
		<-b
		return ns
	})
	reps(chanName("128-1x1"), "op", "ns", func() float64 { return exchange(1, 1, 128, 4000000) })
	reps(chanName("128-4x4"), "op", "ns", func() float64 { return exchange(4, 4, 128, 4000000) })
	reps(chanName("0-4x4"), "op", "ns", func() float64 { return exchange(4, 4, 0, 1000000) })
	reps(chanName("select4"), "op", "ns", func() float64 { return selectOverFour(0) })
	reps(chanName("select4-128"), "op", "ns", func() float64 { return selectOverFour(128) })
	reps(chanName("select4-default"), "op", "ns", func() float64 {
		const n = 5000000
		a, b, c, d := make(chan int), make(chan int), make(chan int), make(chan int)
		defaults := 0
		t0 := time.Now()
		for i := 0; i < n; i++ {
			select {
			case <-a:
			case <-b:
			case <-c:
			case <-d:
			default:
				defaults++
			}
		}
		if defaults != n {
			panic("lost")
		}
		return since(t0) / n
	})
	reps(chanName("make"), "op", "ns", func() float64 {
		const n = 2000000
		t0 := time.Now()
		for i := 0; i < n; i++ {
			madeChan = make(chan int)
		}
		return since(t0) / n
	})
}
