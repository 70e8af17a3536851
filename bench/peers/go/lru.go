// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors

package main

import "time"

// L: the LRU cache of peers/lru.h: the same operations in the same order.

const (
	lruEntries    = 1000000
	lruOperations = 5000000
	lruBucketBits = 20
)

func lruKey(rank uint64) uint64   { return rank * 0x9e3779b97f4a7c15 }
func lruBucket(key uint64) uint64 { return key * 0xff51afd7ed558ccd >> (64 - lruBucketBits) }
func lruRank(random uint64) uint64 {
	const mask = 1<<21 - 1
	a, b, c := random&mask, random>>21&mask, random>>42&mask
	return (a * b >> 21) * c >> 20
}
func lruValueSize(random uint64) int { return int(64 + random%193) }

type entry struct {
	key          uint64
	chain        *entry // the next entry of the same bucket
	older, newer *entry
	value        []byte
}

type lruCache struct {
	buckets        []*entry
	newest, oldest *entry
	size           int
}

func (c *lruCache) find(key uint64) *entry {
	p := c.buckets[lruBucket(key)]
	for p != nil && p.key != key {
		p = p.chain
	}
	return p
}

func (c *lruCache) insert(key uint64) *entry {
	head := &c.buckets[lruBucket(key)]
	p := &entry{key: key, chain: *head}
	*head = p
	c.pushFront(p)
	c.size++
	return p
}

func (c *lruCache) use(p *entry) {
	if p == c.newest {
		return
	}
	c.unlink(p)
	c.pushFront(p)
}

func (c *lruCache) pushFront(p *entry) {
	if c.newest != nil {
		c.newest.newer = p
	} else {
		c.oldest = p
	}
	p.older = c.newest
	p.newer = nil
	c.newest = p
}

func (c *lruCache) unlink(p *entry) {
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		c.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		c.newest = p.older
	}
}

func (c *lruCache) dropOldest() {
	victim := c.oldest
	p := &c.buckets[lruBucket(victim.key)]
	for *p != victim {
		p = &(*p).chain
	}
	*p = victim.chain
	c.unlink(victim)
	c.size--
}

func (c *lruCache) get(key uint64) []byte {
	p := c.find(key)
	if p == nil {
		return nil
	}
	c.use(p)
	return p.value
}

func (c *lruCache) put(key uint64, size int) []byte {
	p := c.find(key)
	if p != nil {
		c.use(p)
	} else {
		if c.size == lruEntries {
			c.dropOldest()
		}
		p = c.insert(key)
	}
	p.value = make([]byte, size)
	return p.value
}

// lru [operations]
func benchLRU() {
	n := arg(2, lruOperations)
	c := &lruCache{buckets: make([]*entry, 1<<lruBucketBits)}
	keep[0] = c
	var pattern [256][256]byte // filling is a copy, as fast as the other peers' memset
	for v := range pattern {
		for k := range pattern[v] {
			pattern[v][k] = byte(v)
		}
	}
	random := rng(88172645463325252)
	var h hist
	s0, c0 := snap(), cpuNS()
	start := time.Now()
	for i := lruEntries - 1; i >= 0; i-- {
		key := lruKey(uint64(i))
		copy(c.put(key, lruValueSize(random.next()>>8)), pattern[byte(key)][:])
	}
	filled := time.Since(start)
	last := filled
	var gets, hits, bytes uint64
	for i := 0; i < n; i++ {
		key, choice := lruKey(lruRank(random.next())), random.next()
		if choice%5 == 0 {
			copy(c.put(key, lruValueSize(choice>>8)), pattern[byte(key)][:])
		} else {
			gets++
			if v := c.get(key); v != nil {
				hits++
				bytes += uint64(len(v)) + uint64(v[0]) + uint64(v[len(v)-1])
			}
		}
		t := time.Since(start)
		h.add(int64(t - last))
		last = t
	}
	emit("lru", "rate", float64(n)*1e3/float64(last-filled), "Mop/s")
	h.emit("lru", "op-")
	emit("lru", "wall", float64(last)/1e6, "ms")
	emit("lru", "cpu", float64(cpuNS()-c0)/1e6, "ms")
	emit("lru", "peak-rss", peakRSSMB(), "MB")
	emit("lru", "hits", 100*float64(hits)/float64(gets), "%")
	emit("lru", "checksum", float64((bytes+hits)%9973), "n")
	emitGC("lru", s0, snap())
}
