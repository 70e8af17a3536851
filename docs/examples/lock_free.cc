// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A stack (Treiber's) and a queue (Michael and Scott's) without locks. With memory that is freed by
// hand both need hazard pointers, epochs or counters beside their pointers: else a node that
// another thread still looks at is freed, or comes back at the same address as another one (ABA).
// Here what somebody looks at is there.
//
// Shows: gc_atomic, compare_exchange with a field or a local as what is expected, plain T* as
// locals.
#include <cairn/cairn.h>

#include <atomic>
#include <cstdio>
#include <optional>

template <class T>
class lock_free_stack {
 public:
  void push(T value) {
    node* const n = cairn::make_gc<node>(value, top_.load());
    while (!top_.compare_exchange_weak(n->below, n)) {
    }
  }
  std::optional<T> pop() {
    node* n = top_.load();
    while (n != nullptr && !top_.compare_exchange_weak(n, n->below)) {
    }
    if (n == nullptr) return std::nullopt;
    return n->value;
  }

 private:
  struct node {
    T value;
    cairn::gc_ptr<node> below;
  };
  cairn::gc_atomic<node> top_;
};

template <class T>
class lock_free_queue {
 public:
  void push(T value) {
    node* const n = cairn::make_gc<node>(value);
    node* last = last_.load();
    for (node* next = nullptr; !last->next.compare_exchange_strong(next, n); next = nullptr)
      if (last_.compare_exchange_strong(last, next))
        last = next;  // for who has put `next` there, and not come to it
    last_.compare_exchange_strong(last, n);
  }
  std::optional<T> pop() {
    node* first = first_.load();
    for (;;) {
      node* const next = first->next.load();
      if (next == nullptr) return std::nullopt;
      if (first_.compare_exchange_weak(first, next)) return next->value;
    }
  }

 private:
  struct node {
    T value;
    cairn::gc_atomic<node> next;
  };
  // What is in the queue comes after the first node, whose own value was taken before. The last
  // node is the one at `last_` or some after it.
  cairn::gc_atomic<node> first_ = cairn::make_gc<node>(), last_ = first_.load();
};

struct item {
  int producer = 0, number = 0;
};

// Four goroutines put in 1 to 1000 each while four take out. True if what one of these got from a
// producer came in order.
template <class Container>
bool exercise(Container& c, const char* name) {
  constexpr int k_producers = 4, k_numbers = 1000;
  std::atomic<int> taken{0}, sum{0};
  std::atomic<bool> in_order{true};
  cairn::sync::wait_group all;
  for (int p = 0; p < k_producers; ++p)
    all.go([&c, p] {
      for (int n = 1; n <= k_numbers; ++n) c.push({p, n});
    });
  for (int consumer = 0; consumer < 4; ++consumer)
    all.go([&] {
      int last[k_producers] = {};
      while (taken < k_producers * k_numbers) {
        const std::optional<item> next = c.pop();
        if (!next) {
          cairn::yield();
          continue;
        }
        ++taken;
        sum += next->number;
        if (next->number < last[next->producer]) in_order = false;
        last[next->producer] = next->number;
      }
    });
  all.wait();
  std::printf("%s: %d items, sum %d\n", name, taken.load(), sum.load());
  return in_order;
}

int main() {
  return cairn::run([] {
    lock_free_stack<item> stack;
    exercise(stack, "stack");
    lock_free_queue<item> queue;
    if (exercise(queue, "queue")) std::puts("each producer's items came in order");
  });
}
