// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Attaching and detaching. Everything that may allocate (the stack's bounds, the thread-specific value, a new record)
// comes before the registry lock; under it an m is only filled in, announced to the gc layer and linked.
//
// A thread detaches in the destructor of a pthread key. glibc runs thread_local destructors before those, so they may
// use the heap; a destructor of another key that does attaches the thread anew, which sets the key again, and the next
// of glibc's four rounds detaches it. What attaches in the last round dies attached: the asker finds that out when the
// kernel knows no such thread, and reaps the m.
#include "sched/registry.h"

#include <cxxabi.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <system_error>

#include "cairn/detail/assert.h"
#include "cairn/run.h"
#include "heap/lock.h"
#include "sched/fair_lock.h"
#include "sched/handshake.h"
#include "sched/hooks.h"
#include "sched/message.h"
#include "sched/signal.h"
#include "sched/sysmon.h"

namespace cairn {
namespace sched {
std::atomic<m*> newest_record{nullptr};
m nobody;  // all zero, before its constructor has run too: any initialiser may attach its thread
}  // namespace sched
namespace detail {
// Link-time optimisation does not see that the assembly in entry.h names it.
#if defined(__clang__)
[[gnu::used]]
#else
[[gnu::used, gnu::externally_visible]]
#endif
constinit thread_local thread_cache* tls_cache [[gnu::tls_model("initial-exec")]] = &sched::nobody;
}  // namespace detail
namespace sched {
namespace {

fair_lock registry_lock;
m* attached_ms = nullptr;                       // under registry_lock
std::atomic<std::size_t> attached_ms_count{0};  // written under registry_lock; relaxed
heap::mutex free_lock;  // held for a few instructions, by threads that are not attached or hold registry_lock
m* free_ms = nullptr;   // under free_lock; linked by next

heap::mutex start_lock;            // of hooks.start; waited for in the safe state
std::atomic<pid_t> starter{0};     // who holds start_lock: it may attach itself meanwhile
std::atomic<bool> started{false};  // release by start_runtime, acquire by attach: what start set up
// Attached threads of the program's own. Sequentially consistent, and told to sysmon when it falls: see deadlock.cc.
std::atomic<int> foreign{0};
pthread_key_t exit_key;  // written before `started`

pid_t thread_id() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }

m* take_record() {
  free_lock.lock();
  m* p = free_ms;
  if (p != nullptr) free_ms = p->next;
  free_lock.unlock();
  if (p != nullptr) return p;
  p = new m;
  p->older = newest_record.load(std::memory_order_relaxed);
  while (!newest_record.compare_exchange_weak(p->older, p, std::memory_order_seq_cst,
                                              std::memory_order_relaxed)) {
  }
  return p;
}

void give_record(m* p) noexcept {
  free_lock.lock();
  p->next = free_ms;
  free_ms = p;
  free_lock.unlock();
}

void* read_thread_pointer() noexcept {
#if defined(__x86_64__)
  void* p;
  asm("movq %%fs:0, %0" : "=r"(p));
  return p;
#else
  return __builtin_thread_pointer();
#endif
}

// Throws std::bad_alloc. For the main thread glibc opens /proc/self/maps here.
void find_stack(m& self) {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) throw std::bad_alloc();
  void* low = nullptr;
  std::size_t bytes = 0;
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_destroy(&attributes);
  self.stack_low = low;
  self.stack_high = static_cast<char*>(low) + bytes;
}

// A record is used again: everything that sched owns goes back to the start. What the gc layer owns it has left as
// on_attach wants it.
void reset(m& p) noexcept {
  p.state.store(k_running, std::memory_order_relaxed);
  p.depth.store(0, std::memory_order_relaxed);
  p.current_goroutine.store(nullptr, std::memory_order_relaxed);
  p.saved_sp = nullptr;
  p.proc.store(0, std::memory_order_relaxed);
  p.after = nullptr;
  p.chosen = p.locked = nullptr;
  p.must_end = p.spinning = false;
  p.colour = 0;
  p.freeze_wanted.store(false, std::memory_order_relaxed);
  p.freeze_off = 0;
  p.note.store(0, std::memory_order_relaxed);
  p.handed = nullptr;
  p.handed_goroutine = nullptr;
  p.own.low = static_cast<char*>(p.stack_low);
  p.own.high = static_cast<char*>(p.stack_high);
  p.own.annotation.thread_created();
  p.exceptions = reinterpret_cast<exception_state*>(abi::__cxa_get_globals());
  p.error = &errno;
  p.dead = false;
  p.thread_pointer = read_thread_pointer();
  p.thread = pthread_self();
  p.tid = thread_id();
}

// By the holder of the registry lock.
void link(m& self) noexcept {
  detail::tls_cache = &self;
  self.depth.store(1, std::memory_order_relaxed);
  hooks.on_attach(self);
  self.next = attached_ms;
  attached_ms = &self;
  attached_ms_count.fetch_add(1, std::memory_order_relaxed);
  self.depth.store(0, std::memory_order_release);  // as at the end of a section; nobody can have asked anything
}

void unlink(m& p) noexcept {
  m** at = &attached_ms;
  while (*at != &p) at = &(*at)->next;
  *at = p.next;
  attached_ms_count.fetch_sub(1, std::memory_order_relaxed);
}

void on_thread_exit(void* p) noexcept {
  if (current() == p) detach();
}

}  // namespace

void acquire_registry() {
  m* self = current();
  if (self == nullptr) {
    registry_lock.lock();
    return;
  }
  CAIRN_CHECK(self->depth.load(std::memory_order_relaxed) == 0,
              "the registry is waited for inside a runtime section");
  ++self->freeze_off;  // until release_registry
  // A request that is under way has its asker hold the lock, so whoever gets it has nothing left to answer.
  if (registry_lock.try_lock()) return;
  in_safe_state(*self, [] { registry_lock.lock(); });
}

void release_registry() noexcept {
  registry_lock.unlock();
  if (m* self = current(); self != nullptr && self->freeze_off != 0) --self->freeze_off;
}

m* first_m() noexcept { return attached_ms; }
std::size_t attached_count() noexcept { return attached_ms_count.load(std::memory_order_relaxed); }
bool try_acquire_registry() noexcept { return registry_lock.try_lock(); }

void reap_dead() noexcept {
  runtime_section section;
  for (m* p = attached_ms; p != nullptr;) {
    m* after = p->next;
    if (p->dead) {
      hooks.on_detach(*p);
      unlink(*p);
      if (!p->is_runtimes) count_foreign(-1);
      give_record(p);
    }
    p = after;
  }
}

void create_exit_key() {
  if (int error = pthread_key_create(&exit_key, on_thread_exit); error != 0)
    throw std::system_error(error, std::generic_category(), "cairn: no key for ending threads");
}

void start_runtime(const options& chosen, bool from_run) {
  check_not_forked();
  // The starter itself comes here again when hooks.start attaches it.
  if (starter.load(std::memory_order_relaxed) == thread_id()) return;
  safe_lock held(start_lock);
  if (!from_run && started.load(std::memory_order_relaxed)) return;
  struct marked {
    marked() noexcept { starter.store(thread_id(), std::memory_order_relaxed); }
    ~marked() { starter.store(0, std::memory_order_relaxed); }
  } mark;
  hooks.start(chosen, from_run);
  started.store(true, std::memory_order_release);
}

void ensure_started() {
  if (!started.load(std::memory_order_acquire)) start_runtime(options{}, false);
}

namespace {

m& attach_as(bool is_worker, bool is_runtimes) {
  check_not_forked();
  ensure_started();
  if (m* p = current()) return *p;  // hooks.start attached it
  m* p = take_record();
  try {
    find_stack(*p);
    if (pthread_setspecific(exit_key, p) != 0) throw std::bad_alloc();
  } catch (...) {
    give_record(p);
    throw;
  }
  reset(*p);
  p->is_worker = is_worker;
  p->is_runtimes = is_runtimes;
  p->signal_was_blocked = unblock_signal();
  acquire_registry();
  link(*p);
  release_registry();
  if (!is_runtimes) count_foreign(1);
  return *p;
}

}  // namespace

m& attach() { return attach_as(false, false); }
m& attach_own(bool is_worker) { return attach_as(is_worker, true); }

void count_foreign(int n) noexcept {
  foreign.fetch_add(n, std::memory_order_seq_cst);
  if (n < 0) wake_sysmon();
}
int foreign_threads() noexcept { return foreign.load(std::memory_order_seq_cst); }

void detach() noexcept {
  m* p = current();
  if (p == nullptr) return;
  CAIRN_CHECK(p->current_goroutine.load(std::memory_order_relaxed) == nullptr,
              "a goroutine's thread is detached");
  acquire_registry();
  p->depth.store(1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  hooks.on_detach(*p);
  unlink(*p);
  detail::tls_cache = &nobody;
  release_registry();
  pthread_setspecific(exit_key, nullptr);
  p->own.annotation.thread_destroyed();
  if (!p->is_runtimes) count_foreign(-1);
  if (p->signal_was_blocked) block_signal();
  give_record(p);
}

}  // namespace sched

attach_thread::attach_thread() : attached_here_(sched::current() == nullptr) { sched::self(); }
attach_thread::~attach_thread() {
  if (attached_here_) sched::detach();
}

}  // namespace cairn
