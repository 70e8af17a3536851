// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What a cycle beside the program keeps, whatever the program does meanwhile. A collection runs on a thread of its own
// over a heap so large that the test's own steps come in the middle of it; a test that was too slow for that tries
// again.
#include "gc/concurrent.h"

#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "api/support.h"
#include "cairn/detail/annotate.h"
#include "gc/armed.h"
#include "gc/barrier.h"
#include "gc/roots.h"
#include "gc/runtime.h"
#include "heap/mheap.h"
#include "scale.h"
#include "sched/m.h"

namespace {

using namespace cairn_test;
using cairn::gc_ptr;
using cairn::gc_weak;
using cairn::make_gc;
using cairn::root;
using cairn::gc::current_phase;
using cairn::gc::phase;

// A live heap that takes a while to mark: a list, which no two workers can share.
class ballast {
 public:
  ballast() {
    apart([this] { head_ = make_list(0, 400'000); });
  }

 private:
  root<cell> head_;
};

unsigned char barrier_bits() { return __atomic_load_n(&cairn_barrier_flags, __ATOMIC_ACQUIRE); }
bool stacks_are_grey() { return (barrier_bits() & cairn::gc::k_grey_stacks) != 0; }
bool is_marking() { return current_phase() == phase::mark; }
bool births_are_black() { return cairn::heap::the_heap.current().black(); }

// A collect() on another thread.
class running_cycle {
 public:
  running_cycle()
      : thread_([this] {
          cairn::gc::collect();
          over_.store(true, std::memory_order_release);
        }) {}
  ~running_cycle() { thread_.join(); }
  // True when it marks, and no stack is grey any more.
  bool reach_black() {
    return spin_until([this] { return is_over() || (is_marking() && !stacks_are_grey()); }) && is_marking();
  }
  bool reach_marking() {
    return spin_until([this] { return is_over() || is_marking(); }) && is_marking();
  }
  bool is_over() const { return over_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

// `before()` and then, in the middle of the marking of a cycle that all threads have been scanned for, `during()`; then
// the cycle ends. False if no attempt was quick enough.
template <class Before, class During>
[[gnu::noinline]] bool while_marking(Before before, During during) {
  patience left;
  while (!left.is_over()) {
    before();
    clear_stack();
    bool in_time = false;
    {
      running_cycle cycle;
      if (cycle.reach_black()) {
        during();
        in_time = is_marking();
      }
    }
    if (in_time) return true;
  }
  return false;
}

struct holder {
  gc_ptr<cell> first, second;
};

bool is_news(std::uintptr_t word) {
  cairn::heap::object_ref o;
  return cairn::heap::find_object(word, o) && cairn::heap::is_allocated(o) && !cairn::heap::is_marked(o);
}

// An object that the markers come to late, at the end of a long list, so that nothing it refers to is marked before.
// Nothing else leads to it that they know of until get() is called.
template <class T>
class late_to_mark {
 public:
  late_to_mark() {
    apart([this] {
      node* at = make_gc<node>();
      at->value = make_gc<T>();
      place_ = ~reinterpret_cast<std::uintptr_t>(at->value.get());
      for (int i = 0; i < 400'000; ++i) {
        node* before = make_gc<node>();
        before->next = at;
        at = before;
      }
      head_ = at;
    });
  }
  T* get() const { return reinterpret_cast<T*>(~place_); }
  // As while_marking, with an object that is not marked yet when `during` is through: it may have to mark a
  // part itself.
  template <class Before, class During>
  bool while_unmarked(Before before, During during) {
    patience left;
    while (!left.is_over()) {
      bool is_unmarked = false;
      const bool in_time = while_marking([&] { apart([&] { before(*get()); }); },
                                         [&] {
                                           // In a frame that is cleared before the next attempt is scanned.
                                           if (is_news(~place_)) aside([&] { during(*get()); });
                                           is_unmarked = is_news(~place_);
                                         });
      if (in_time && is_unmarked) return true;
    }
    return false;
  }

 private:
  struct node {
    gc_ptr<node> next;
    gc_ptr<T> value;
  };
  std::uintptr_t place_ = 0;  // its complement: no pointer, for who looks at stacks
  root<node> head_;
};

// Lists by the hundred: so many addresses fit into no registers, which handshakes shade.
constexpr std::size_t k_lists = 100;
struct hundred {
  gc_ptr<cell> lists[k_lists];
};

cell* numbered_list(std::size_t i) { return make_list(10 * i, 5); }
void fill(hundred& h) {
  for (std::size_t i = 0; i < k_lists; ++i) h.lists[i] = numbered_list(i);
}
// As collect() leaves it: an object that was lost is a free slot then, whether or not it has been used again.
bool is_object(const cell* c) {
  cairn::heap::object_ref o;
  return cairn::heap::find_object(reinterpret_cast<std::uintptr_t>(c), o) && cairn::heap::is_allocated(o);
}
template <class Lists>
[[gnu::noinline]] std::size_t right_lists(const Lists& lists) {
  std::size_t right = 0, i = 0;
  for (const cell* list : lists) {
    bool all_objects = true;
    for (const cell* c = list; c != nullptr && all_objects; c = c->next) all_objects = is_object(c);
    right += all_objects && is_list(list, 10 * i, 5);
    ++i;
  }
  return right;
}

TEST(ConcurrentCycle, KeepsWhatMovesFromHeapToStackToHeap) {
  late_to_mark<hundred> from;
  root<hundred> to;
  ASSERT_TRUE(from.while_unmarked(
      [&](hundred& h) {
        to.reset();
        fill(h);
      },
      [&](hundred& h) {
        to = make_gc<hundred>();  // born marked: no marker looks there
        cell* on_stack[k_lists];
        for (std::size_t i = 0; i < k_lists; ++i) {
          on_stack[i] = h.lists[i];
          h.lists[i] = nullptr;
        }
        for (std::size_t i = 0; i < k_lists; ++i) to->lists[i] = on_stack[i];
      }));
  EXPECT_EQ(right_lists(to->lists), k_lists);
}

// The stack has been scanned before the objects come to it, and no other place has them then.
TEST(ConcurrentCycle, KeepsWhatIsOnlyOnAStackThatWasScannedBefore) {
  late_to_mark<hundred> from;
  cell* on_stack[k_lists] = {};
  ASSERT_TRUE(from.while_unmarked(
      [&](hundred& h) {
        std::fill(std::begin(on_stack), std::end(on_stack), nullptr);
        fill(h);
      },
      [&](hundred& h) {
        for (std::size_t i = 0; i < k_lists; ++i) {
          on_stack[i] = h.lists[i];
          h.lists[i] = nullptr;
        }
      }));
  EXPECT_EQ(right_lists(on_stack), k_lists);
}

// What is born in a cycle is born marked: to overwrite it is no news to the markers.
TEST(ConcurrentCycle, BuffersNoObjectThatIsMarked) {
  ballast large;
  root<holder> to = make_gc<holder>();
  ASSERT_TRUE(while_marking([&] { to->first = nullptr; },
                            [&] {
                              const cairn::sched::m& self = cairn::sched::self();
                              cell* fresh = make_cell(1);
                              to->first = fresh;
                              const unsigned before = self.barrier.n;
                              for (int i = 0; i < 50; ++i) to->first = fresh;
                              // Rounds empty the buffer.
                              EXPECT_LE(self.barrier.n, before);
                            }));
}

// Where cells were that are gone, between others that are kept. As complements: no pointers, for who looks at
// stacks and at malloc's memory.
std::vector<std::uintptr_t> places_of_the_dead(root<holder>& kept) {
  std::vector<std::uintptr_t> places;
  apart([&] {
    for (std::uint64_t i = 0; i < 2000; ++i) {
      if (i % 8 == 0) kept->first = make_cell(i, kept->first);
      else places.push_back(~reinterpret_cast<std::uintptr_t>(make_cell(i)));
    }
  });
  clear_stack();
  cairn::gc::collect();
  return places;
}

// A stale word is no pointer to an object.
TEST(ConcurrentCycle, BuffersNoWordThatPointsToAFreeSlot) {
  ballast large;
  root<holder> to = make_gc<holder>(), kept = make_gc<holder>();
  const std::vector<std::uintptr_t> places = places_of_the_dead(kept);
  int tried = 0, buffered = 0;
  ASSERT_TRUE(while_marking([] {},
                            [&] {
                              const cairn::sched::m& self = cairn::sched::self();
                              for (std::uintptr_t place : places) {
                                cairn::heap::object_ref slot;
                                if (!cairn::heap::find_object(~place, slot) || cairn::heap::is_allocated(slot))
                                  continue;
                                const unsigned before = self.barrier.n;
                                place = ~place;
                                std::memcpy(static_cast<void*>(&to->first), &place, sizeof place);
                                to->first = nullptr;
                                ++tried;
                                // A handshake may have added what registers hold.
                                for (unsigned i = before; i < self.barrier.n; ++i)
                                  buffered += self.barrier.words[i] == reinterpret_cast<void*>(place) ? 1 : 0;
                              }
                            }));
  EXPECT_GT(tried, 0);
  EXPECT_EQ(buffered, 0);
}

// Inside and between objects, in pages of no span, in large objects beyond their first page, outside of the heap.
TEST(ConcurrentCycle, BuffersWhatPointsIntoAnUnmarkedObjectAndNoOtherWord) {
  ballast small;  // cells
  std::vector<root<std::uint64_t>> large;
  for (int i = 0; i < 8; ++i) large.emplace_back(cairn::make_gc_array<std::uint64_t>(200'000).data());
  root<holder> to = make_gc<holder>();
  int buffered = 0, wrongly = 0, missing = 0;
  std::mt19937_64 random(7);
  const auto& space = cairn::heap::g_space;
  auto some_word = [&]() -> std::uintptr_t {
    if (random() % 3 == 0)
      return reinterpret_cast<std::uintptr_t>(large[random() % 8].get()) + random() % 1'600'000;
    return space.base - 4096 + random() % (space.committed.load() + 8192);
  };
  // Late in a cycle there may be nothing unmarked any more: then once more.
  patience left;
  do {
    ASSERT_TRUE(while_marking(
        [&] { buffered = wrongly = missing = 0; },
        [&] {
          const cairn::sched::m& self = cairn::sched::self();
          for (int i = 0; i < 3000; ++i) {
            const std::uintptr_t word = some_word();
            const bool was_news = is_news(word);
            const unsigned before = self.barrier.n;
            std::memcpy(static_cast<void*>(&to->first), &word, sizeof word);
            to->first = nullptr;
            // A round may have emptied the buffer meanwhile, a full one was handed over:
            // then it says nothing. What else is new came from registers, at a handshake.
            const unsigned n = self.barrier.n;
            const void* const pushed = reinterpret_cast<const void*>(word);
            const bool is_buffered = n > before &&
                                     std::find(self.barrier.words + before, self.barrier.words + n, pushed) !=
                                         self.barrier.words + n;
            const bool is_not = n == before && before > 1;
            buffered += is_buffered;
            wrongly += is_buffered && !was_news;
            missing += is_not && is_news(word);
          }
        }));
    ASSERT_EQ(wrongly, 0);
    ASSERT_EQ(missing, 0);
  } while (buffered == 0 && !left.is_over());
  EXPECT_GT(buffered, 0);
}

TEST(ConcurrentCycle, KeepsWhatAtomicsHandFromOneToAnother) {
  struct atomics {
    cairn::gc_atomic<cell> lists[k_lists];
  };
  late_to_mark<atomics> from;
  root<atomics> to;
  ASSERT_TRUE(from.while_unmarked(
      [&](atomics& h) {
        to.reset();
        for (std::size_t i = 0; i < k_lists; ++i) h.lists[i].store(numbered_list(i));
      },
      [&](atomics& h) {
        to = make_gc<atomics>();
        cell* moving[k_lists];
        for (std::size_t i = 0; i < k_lists; ++i) moving[i] = h.lists[i].exchange(nullptr);
        for (std::size_t i = 0; i < k_lists; ++i) {
          cell* nothing = nullptr;
          to->lists[i].compare_exchange_strong(nothing, moving[i]);
        }
      }));
  cell* now[k_lists];
  for (std::size_t i = 0; i < k_lists; ++i) now[i] = to->lists[i].load();
  EXPECT_EQ(right_lists(now), k_lists);
}

TEST(ConcurrentCycle, KeepsWhatIsMadeWhileItMarks) {
  ballast large;
  root<cell> list;
  root<std::uint64_t> tiny;
  std::size_t made = 0;
  ASSERT_TRUE(while_marking(
      [&] {
        list.reset();
        made = 0;
      },
      [&] {
        tiny = make_gc<std::uint64_t>(77u);
        for (; made < 2000; ++made) list = make_cell(2000 - made, list);
      }));
  churn();
  EXPECT_TRUE(is_list(list, 1, 2000));
  EXPECT_EQ(*tiny, 77u);
}

TEST(ConcurrentCycle, KeepsWhatIsWrittenToALargeArrayWhileItIsScanned) {
  constexpr std::size_t k_length = 400'000, k_moved = 4000;
  late_to_mark<holder> late;
  root<gc_ptr<cell>> array;
  apart([&] { array = cairn::make_gc_array<gc_ptr<cell>>(k_length).data(); });
  std::size_t moved = 0;
  ASSERT_TRUE(late.while_unmarked(
      [&](holder& from) {
        std::fill_n(array.get(), k_length, nullptr);
        from.first = make_list(1, k_moved);
      },
      [&](holder& from) {
        // Cut out of the list, from its head, and put where the marker was or is still to come.
        for (moved = 0; moved < k_moved; ++moved) {
          cell* c = from.first;
          from.first = c->next;
          c->next = nullptr;
          array[static_cast<std::ptrdiff_t>(moved * 97 % k_length)] = c;
        }
      }));
  std::size_t right = 0;
  for (std::size_t i = 0; i < k_moved; ++i) {
    const cell* c = array[static_cast<std::ptrdiff_t>(i * 97 % k_length)];
    right += is_object(c) && c->is(i + 1);
  }
  EXPECT_EQ(right, k_moved);
}

TEST(ConcurrentCycle, KeepsWhatAThreadThatComesAndGoesMeanwhilePutsSomewhere) {
  late_to_mark<hundred> from;
  root<hundred> to;
  root<cell> made;
  ASSERT_TRUE(from.while_unmarked(
      [&](hundred& h) {
        to.reset();
        made.reset();
        fill(h);
      },
      [&](hundred& h) {
        apart([&] {
          to = make_gc<hundred>();
          for (std::size_t i = 0; i < k_lists; ++i) {
            to->lists[i] = h.lists[i];
            h.lists[i] = nullptr;
          }
          made = make_list(100, 300);
        });
      }));
  EXPECT_EQ(right_lists(to->lists), k_lists);
  churn();
  EXPECT_TRUE(is_list(made, 100, 300));
}

// In thread-local storage of a thread that was scanned empty-handed.
thread_local gc_ptr<cell> in_thread[k_lists];

TEST(ConcurrentCycle, KeepsWhatAThreadPutsIntoItsThreadLocalStorage) {
  late_to_mark<hundred> from;
  ASSERT_TRUE(from.while_unmarked([&](hundred& h) { fill(h); },
                                  [&](hundred& h) {
                                    for (std::size_t i = 0; i < k_lists; ++i) {
                                      in_thread[i] = h.lists[i];
                                      h.lists[i] = nullptr;
                                    }
                                  }));
  EXPECT_EQ(right_lists(in_thread), k_lists);
  std::fill(std::begin(in_thread), std::end(in_thread), nullptr);
}

TEST(ConcurrentCycle, KeepsWhatAWeakReferenceLocksMeanwhile) {
  ballast large;
  gc_weak<cell> weak;
  cell* locked = nullptr;
  ASSERT_TRUE(while_marking([&] { apart([&] { weak = make_list(1, 5); }); }, [&] { locked = weak.lock(); }));
  churn();
  ASSERT_NE(locked, nullptr);
  EXPECT_TRUE(is_list(locked, 1, 5));
  EXPECT_TRUE(weak.lock() == locked);
}

TEST(ConcurrentCycle, ClearsAWeakReferenceThatNobodyLocksMeanwhile) {
  ballast large;
  gc_weak<cell> weak;
  ASSERT_TRUE(while_marking([&] { apart([&] { weak = make_list(1, 5); }); }, [] {}));
  EXPECT_TRUE(dies(weak));
}

// ---- stacks that are not scanned yet --------------------------------------------------------------------------------

// So many roots take a cycle some time before it comes to the stacks, and the list some time after.
class many_roots {
 public:
  many_roots() {
    apart([this] {
      cell* one = make_cell(0);
      for (int i = 0; i < 500'000; ++i) roots_.emplace_back(one);
    });
  }

 private:
  ballast large_;
  std::vector<root<cell>> roots_;
};

// A cycle, and f(wait) on a thread of its own, in a frame that is gone when the thread is scanned. wait() comes back
// when what is made is made marked, or the cycle is over. True if f was through before the stacks were scanned.
template <class F>
[[gnu::noinline]] bool on_grey_stack(F f) {
  std::atomic<bool> ready{false}, over{false};
  bool was_grey = false;
  std::thread thread([&] {
    aside([&] {
      f([&] {
        ready.store(true, std::memory_order_release);
        spin_until([&] { return births_are_black() || over.load(std::memory_order_acquire); });
      });
    });
    clear_stack();
    was_grey = is_marking() && stacks_are_grey();
    spin_until([] { return !stacks_are_grey(); });
  });
  EXPECT_TRUE(spin_until([&] { return ready.load(std::memory_order_acquire); }));
  cairn::gc::collect();
  over.store(true, std::memory_order_release);
  thread.join();
  return was_grey;
}

// What a cleanup captures is raw, and may come from a stack that the cycle has not scanned yet, while the
// function's own memory was made marked.
TEST(ConcurrentCycle, KeepsRawPointersThatACleanupCaptures) {
  many_roots roots;
  int in_time = 0;
  patience left;
  while (in_time < 3 && !left.is_over()) {
    std::atomic<int> wrong{-1};
    root<cell> watched;
    apart([&] { watched = make_cell(7); });
    in_time += on_grey_stack([&](auto wait) {
      cell* list = make_list(1, 5);
      wait();
      cairn::add_cleanup(watched, [list, &wrong] { wrong.store(is_list(list, 1, 5) ? 0 : 1); });
    });
    churn();
    watched.reset();
    ASSERT_TRUE(collect_until([&] { return wrong.load() >= 0; }));
    ASSERT_EQ(wrong.load(), 0);
  }
  EXPECT_GT(in_time, 0) << "no cleanup was added before the stacks were scanned";
}

// ---- many words at once ---------------------------------------------------------------------------------------------

using slice = cairn::gc_slice<gc_ptr<cell>>;

// [first, first + k_lists) in an array that has no room for more.
slice numbered_lists(std::size_t first) {
  slice lists = cairn::make_gc_array<gc_ptr<cell>>(k_lists);
  for (std::size_t i = 0; i < k_lists; ++i) lists[i] = numbered_list(first + i);
  return lists;
}

// move(result, wait) calls wait() and then has `size` lists in `result`, which come from arrays that only its stack
// knows. Nobody has scanned that, and it is gone when somebody does; the array of the result is born marked, so that
// nobody looks there either.
template <class Move>
void expect_kept(std::size_t size, Move move) {
  many_roots roots;
  root<slice> result = make_gc<slice>();
  int in_time = 0;
  patience left;
  while (in_time < 3 && !left.is_over()) {
    in_time += on_grey_stack([&](auto wait) { move(*result, wait); });
    ASSERT_EQ(result->size(), size);
    ASSERT_EQ(right_lists(*result), size);
    apart([&] {
      std::fill(result->begin(), result->end(), nullptr);
      *result = {};
    });
  }
  EXPECT_GT(in_time, 0) << "nothing was moved before the stacks were scanned";
}

TEST(ConcurrentCycle, KeepsWhatASliceThatGrowsMoves) {
  expect_kept(k_lists + 1, [](slice& result, auto wait) {
    const slice lists = numbered_lists(0);
    wait();
    result = lists.append(numbered_list(k_lists));
  });
}

TEST(ConcurrentCycle, KeepsWhatIsAppendedToASliceAsARange) {
  expect_kept(2 * k_lists, [](slice& result, auto wait) {
    const slice first = numbered_lists(0), second = numbered_lists(k_lists);
    wait();
    result = first.append(second);
  });
}

TEST(ConcurrentCycle, KeepsWhatIsAppendedToASliceThatHasRoomForIt) {
  expect_kept(2 * k_lists, [](slice& result, auto wait) {
    const slice first = numbered_lists(0), second = numbered_lists(k_lists);
    wait();
    slice room = cairn::make_gc_array<gc_ptr<cell>>(2 * k_lists).sub(0, 0);
    result = room.append(first).append(second);
  });
}

TEST(ConcurrentCycle, KeepsWhatASliceMovesWithinItsArray) {
  late_to_mark<slice> late;
  root<hundred> to;
  ASSERT_TRUE(late.while_unmarked(
      [&](slice& lists) {
        to.reset();
        lists = numbered_lists(0);
      },
      [&](slice& lists) {
        to = make_gc<hundred>();
        // Each list passes the array's first place on its way out, and leaves nothing behind.
        for (std::size_t i = 0; i < k_lists; ++i) {
          to->lists[i] = lists[0];
          (void)lists.sub(0, 0).append(lists.sub(1, k_lists));
          lists[k_lists - 1] = nullptr;
        }
      }));
  EXPECT_EQ(right_lists(to->lists), k_lists);
}

using vector_of_lists = cairn::vector<gc_ptr<cell>>;

void fill(vector_of_lists& lists) {
  vector_of_lists().swap(lists);
  for (std::size_t i = 0; i < k_lists; ++i) lists.push_back(numbered_list(i));
}

// Moved to an array that is born marked, out of one that is cleared before a marker has seen it.
TEST(ConcurrentCycle, KeepsWhatAVectorMovesToALargerArray) {
  late_to_mark<vector_of_lists> late;
  ASSERT_TRUE(late.while_unmarked([](vector_of_lists& lists) { fill(lists); },
                                  [](vector_of_lists& lists) { lists.reserve(4 * k_lists); }));
  EXPECT_EQ(right_lists(*late.get()), k_lists);
}

TEST(ConcurrentCycle, KeepsWhatIsInsertedInTheMiddleOfAVector) {
  late_to_mark<vector_of_lists> late;
  root<vector_of_lists> to;
  ASSERT_TRUE(late.while_unmarked(
      [&](vector_of_lists& from) {
        to = make_gc<vector_of_lists>();
        fill(from);
      },
      [&](vector_of_lists& from) {
        to->reserve(3 * k_lists);
        to->resize(2 * k_lists);
        to->insert(to->begin() + k_lists, from.begin(), from.end());
        from.clear();
      }));
  ASSERT_EQ(to->size(), 3 * k_lists);
  EXPECT_EQ(right_lists(std::span(to->data() + k_lists, k_lists)), k_lists);
}

TEST(ConcurrentCycle, KeepsWhatComesToTheFrontOfAVectorThatIsErasedFrom) {
  late_to_mark<vector_of_lists> late;
  root<vector_of_lists> to;
  ASSERT_TRUE(late.while_unmarked(
      [&](vector_of_lists& from) {
        to = make_gc<vector_of_lists>();
        fill(from);
      },
      [&](vector_of_lists& from) {
        to->reserve(k_lists);
        while (!from.empty()) {
          to->push_back(from.front());
          from.erase(from.begin());
        }
      }));
  EXPECT_EQ(to->size(), k_lists);
  EXPECT_EQ(right_lists(*to), k_lists);
}

// The array goes to a vector that no marker looks at, and an empty one comes back for it.
TEST(ConcurrentCycle, KeepsWhatTwoVectorsSwap) {
  late_to_mark<vector_of_lists> late;
  root<vector_of_lists> to;
  ASSERT_TRUE(late.while_unmarked(
      [&](vector_of_lists& from) {
        to.reset();
        fill(from);
      },
      [&](vector_of_lists& from) {
        to = make_gc<vector_of_lists>();
        to->swap(from);
      }));
  EXPECT_EQ(to->size(), k_lists);
  EXPECT_EQ(right_lists(*to), k_lists);
}

// ---- the end of a cycle ---------------------------------------------------------------------------------------------

// From when births are white again until all threads have seen the barrier off, others sweep already, and a
// span's marks are gone. A thread that is in a section since before then must not take what it locks for dead.
TEST(ConcurrentCycle, LocksAWeakReferenceToAnObjectWhoseSpanWasSweptBeforeTheBarrierIsOffForAll) {
  root<cell> held;
  std::vector<gc_weak<cell>> many;  // the decision about these takes a while, and that is when the section begins
  apart([&] { held = make_cell(1); });  // its span is in no cache then
  gc_weak<cell> weak = held;
  auto* record = cairn::detail::weak_acquire(held.get());
  cairn::heap::object_ref target;
  ASSERT_TRUE(cairn::heap::find_object(reinterpret_cast<std::uintptr_t>(held.get()), target));
  auto is_marked = [&] { return cairn::heap::is_marked(target); };
  int in_time = 0;
  patience left;
  while (in_time < 3 && !left.is_over()) {
    apart([&] {
      many.clear();
      for (int i = 0; i < 100'000; ++i) many.emplace_back(make_cell(2));
    });
    std::vector<cairn::heap::mspan*> swept;
    swept.reserve(10'000);
    running_cycle cycle;
    spin_until([&] { return cycle.is_over() || current_phase() == phase::mark_termination; });
    cairn::sched::runtime_section section(cairn::sched::self());
    if (current_phase() != phase::mark_termination || !cairn::gc::barrier_is_on()) continue;
    const std::uint32_t before = cairn::heap::the_heap.sweepgen();
    spin_until([&] { return cairn::heap::the_heap.sweepgen() != before; });
    // As allocation does it.
    const std::uint32_t h = cairn::heap::the_heap.sweepgen();
    cairn::heap::mcentral& central = cairn::heap::the_heap.central[target.span_class];
    // One call looks at some spans only, and finds nothing if all of them are full.
    for (int calls = 0; is_marked() && swept.size() < swept.capacity() && calls < 1000; ++calls) {
      cairn::heap::cpu_use used;
      cairn::heap::interval spent;
      if (cairn::heap::mspan* s = central.take(h, used, spent)) swept.push_back(s);
    }
    in_time += !is_marked();
    bool grey = false;
    EXPECT_TRUE(
        cairn::gc::rt().specials.lock_weak(*reinterpret_cast<cairn::gc::special*>(record), target, grey));
    for (cairn::heap::mspan* s : swept) central.put(s, h);
  }
  cairn::detail::weak_release(record);
  EXPECT_GT(in_time, 0) << "the span was never swept in time";
}

// ---- who runs it ----------------------------------------------------------------------------------------------------

void spin_for(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

// What this thread alone has met of cycles.
struct met {
  std::uint64_t stops = 0, handshakes = 0;
  std::size_t cycles = 0;

  static met so_far() {
    using cairn::gc::pause_kind;
    const cairn::gc::stats s = cairn::gc::read_stats();
    return {s.of(pause_kind::stop).count(),
            s.of(pause_kind::handshake).count() + s.of(pause_kind::stack_scan).count() + s.switched.count(),
            s.gc_cycles};
  }
};

// As if the last cycle had looked at next to nothing: a test program has more static variables than that.
void pretend_that_there_was_little() {
  const cairn::gc::cycle_guard no_cycle;
  cairn::gc::pacing& pace = cairn::gc::rt().pace;
  pace.last_scanned = 0;
  pace.stack_bytes = pace.globals_bytes = 0;
}

// Allocates until a cycle at once has stopped the thread, and it was in no handshake: then the cycle `is_over`, or its
// marking goes on beside the program.
[[gnu::noinline]] bool meets_cycle_at_once(bool is_over) {
  patience left;
  while (!left.is_over()) {
    pretend_that_there_was_little();
    const met before = met::so_far();
    met now = before;
    bool marks = false;
    do {
      churn(100);
      marks = is_marking();
      now = met::so_far();
    } while (now.stops == before.stops && now.cycles == before.cycles && !left.is_over());
    if (now.stops != before.stops + 1 || now.handshakes != before.handshakes) continue;
    if (is_over ? !marks && now.cycles == before.cycles + 1 : marks && now.cycles == before.cycles)
      return true;
  }
  return false;
}

// Earlier tests of the process may have left more than that: places for roots, specials, objects that are destroyed
// early. And the static variables of ThreadSanitizer, 21 MB, count for the goal: no such heap is marked at once.
bool can_be_at_once() {
  const cairn::gc::runtime& r = cairn::gc::rt();
  return cairn::gc::root_slots::bytes() < cairn::gc::k_at_once_bytes / 2 && r.specials.size() < 100 &&
         !r.specials.any_armed && r.pace.trigger < 6 << 20 && cairn::heap::the_heap.pages_in_use() < 1000 &&
         r.options.debug.gcstoptheworld == 0;
}

TEST(ConcurrentCycle, IsOverAtOnceWhereNextToNothingLives) {
  collect_leftovers();
  if (!can_be_at_once()) GTEST_SKIP() << "the process has too much besides";
  EXPECT_TRUE(meets_cycle_at_once(true));
}

TEST(ConcurrentCycle, IsHandedOverByWhoHasMarkedAtOnceWhatThatMay) {
  collect_leftovers();
  if (!can_be_at_once()) GTEST_SKIP() << "the process has too much besides";
  root<cell> live;
  apart([&] { live = make_list(0, 50 * cairn::gc::k_at_once_objects); });
  EXPECT_TRUE(meets_cycle_at_once(false));
  EXPECT_TRUE(is_list(live, 0, 50 * cairn::gc::k_at_once_objects));
}

// A thread that comes to the trigger while another one runs asks the collector's thread for a cycle. A moment later it
// is alone, begins one itself, finds that there is much to mark, and hands it over: to a thread that waits by now for
// the lock that it is handed.
TEST(ConcurrentCycle, IsFinishedByACollectorThatWaitsForTheCycleThatItIsHanded) {
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> rounds{0};
  std::thread now_and_then([&] {
    make_cell(0);
    while (!stop.load()) {
      spin_for(std::chrono::microseconds(20));
      cairn::blocking([] { spin_for(std::chrono::microseconds(20)); });
    }
  });
  std::thread allocator([&] {
    root<cell> kept;
    for (std::size_t n = 0; !stop.load(); ++n) {
      if (mix(n) % 2 == 0) kept.reset();
      else kept = make_list(0, 3000);
      churn(60'000 + mix(n) % 60'000);
      rounds.fetch_add(1);
    }
  });
  const std::size_t wanted = test_count(1500, 10);
  std::size_t last = 0;
  patience left;
  while (rounds.load() < wanted && !left.is_over()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (const std::size_t now = rounds.load(); now != last) {
      last = now;
      left = patience();
    }
  }
  EXPECT_GE(rounds.load(), wanted) << "nobody finishes the cycle";
  if (rounds.load() < wanted) std::abort();  // the threads cannot be joined
  stop.store(true);
  now_and_then.join();
  allocator.join();
}

}  // namespace
