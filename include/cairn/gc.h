// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The collector as programs see it: force a cycle, set its pace, read what it did.
//
// Everything here may be called from any thread; unless stated otherwise the call attaches it.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "cairn/histogram.h"
#include "cairn/run.h"

namespace cairn::gc {

// Runs a whole cycle that starts after the call, and sweeps what it found dead. As runtime.GC.
void collect();

// The heap may grow by so many percent of what the last cycle left before the next one starts (Go's GOGC). Returns the
// earlier value; gc_off turns the trigger off. Throws std::invalid_argument below gc_off.
int set_percent(int percent);

// A soft limit in bytes on all memory that the runtime maps: heap, stacks of its threads, its own tables. Close
// to it cycles start earlier, and idle memory is given back; it is exceeded rather than spending more than half
// of the CPU on collecting. Returns the earlier value; no_limit turns it off.
std::size_t set_memory_limit(std::size_t bytes);

// collect(), then gives all idle memory back to the system.
void free_os_memory();

struct class_stats {
  std::size_t object_size;     // bytes of a slot
  std::size_t spans;           // spans of this size, scan and noscan
  std::size_t objects_in_use;  // allocated and not yet found dead
  std::size_t objects_freed;   // ever
};

// What keeps a thread from its own work.
enum class pause_kind : unsigned char {
  stop,            // all threads stood still; or this one ran a cycle, or waited for one to begin
  handshake,       // it answered the collector
  stack_scan,      // it answered, and its stack was scanned
  barrier_buffer,  // a store found its thread's buffer full and handed it to the collector
  assist,          // it marked, or waited for others to, before it was given memory
  sweep,    // it swept before it was given memory: what it owed, or spans in search of a free slot, from the
            // second on
  zeroing,  // it zeroed a large object (over 32 KiB); the runs of small ones, of at most 16 KiB, do not count
};
inline constexpr std::size_t pause_kind_count = 7;

// A snapshot. Counts of objects and bytes count slots: an object of 40 bytes counts as 48. They are exact after
// collect() while nothing else allocates; else each is a value it had during the call.
struct stats {
  std::size_t heap_live_bytes;      // what the last cycle marked, and what was allocated since
  std::size_t heap_objects;         // total_allocs - total_frees
  std::size_t total_alloc_bytes;    // ever
  std::size_t total_allocs;         // ever
  std::size_t total_frees;          // ever; an object counts when its span is swept
  std::size_t heap_goal_bytes;      // heap_live_bytes at which the next cycle is to be over; SIZE_MAX: none
  std::size_t heap_mapped_bytes;    // address space of the heap in use
  std::size_t heap_idle_bytes;      // of that, in no span
  std::size_t heap_released_bytes;  // of that, given back to the system
  std::size_t stack_bytes;          // of attached threads, as far as the last cycle scanned them
  std::size_t metadata_bytes;       // the runtime's own tables and records
  std::size_t gc_cycles;            // finished ones
  std::size_t forced_cycles;        // of these, by collect() and free_os_memory()
  double gc_cpu_fraction;           // collector's share of the CPU time available since the start, 0 to 1
  std::chrono::nanoseconds assist_time, mark_time,
      sweep_time;  // CPU time; sweep_time without what allocation sweeps
  std::chrono::nanoseconds last_pause, max_pause, total_pause;
  // One entry for every interval in which the collector kept a thread from running, as that thread saw it.
  // Of the kinds stop, handshake and stack_scan.
  histogram pauses;
  // The same for marking that allocation was charged with: of the kind assist.
  histogram assists;
  // One entry for every interruption, whatever its kind, by pause_kind; but for those for half of which or
  // longer others had the thread's processor: these are in `switched`, all kinds together. `pauses` and
  // `assists` have both.
  histogram by_kind[pause_kind_count], switched;
  const histogram& of(pause_kind kind) const noexcept { return by_kind[static_cast<unsigned char>(kind)]; }
  class_stats per_class[67];
};
stats read_stats();

// Stops the program and marks again from the roots, beside the collector's own marks: every reachable object must be
// allocated. At check level 3 and above the heap's structures are compared with each other as well. Prints every
// disagreement; true if there is none.
bool verify();

// `n` bytes (negative: fewer) that objects hold behind them, in malloc memory say, count towards the goal.
void adjust_external_bytes(std::ptrdiff_t n);

enum class phase { off, mark, mark_termination };
// Attaches nobody. With gcstoptheworld=1 a cycle is seen by nobody: off.
phase current_phase();

// While one exists anywhere no cycle starts, and the memory limit is not enforced. collect(), free_os_memory() and
// verify() throw std::logic_error where the caller holds one, and wait for the end of others'.
class no_gc_scope {
 public:
  no_gc_scope();
  ~no_gc_scope();
  no_gc_scope(const no_gc_scope&) = delete;
  no_gc_scope& operator=(const no_gc_scope&) = delete;
};

}  // namespace cairn::gc
