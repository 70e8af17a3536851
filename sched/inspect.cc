// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/inspect.h"

#include <string.h>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "cairn/go.h"
#include "cairn/goroutine_info.h"
#include "heap/pause.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/proc.h"
#include "sched/records.h"
#include "sched/registry.h"

namespace cairn::sched {

std::string_view name_of(activity doing) noexcept {
  switch (doing) {
    case activity::runnable:
      return "runnable";
    case activity::running:
      return "running";
    case activity::waiting:
      return "waiting";
    case activity::syscall:
      return "syscall";
  }
  return "?";
}

namespace {

CAIRN_LOOKS void fill(const goroutine& g, std::uint64_t id, sighting& seen) noexcept {
  seen = {};
  seen.id = id;
  seen.since = g.since.load(std::memory_order_relaxed);
  seen.is_locked = *const_cast<const volatile unsigned*>(&g.thread_locks) != 0;
  seen.creator = *const_cast<const volatile std::uint64_t*>(&g.creator);
  seen.created_at = *const_cast<void* const volatile*>(&g.created_at);
}

CAIRN_LOOKS std::uint64_t id_of(const goroutine& g) noexcept {
  return *const_cast<const volatile std::uint64_t*>(&g.id);
}

// Where it goes on. The trampoline of one that has not begun has nothing to show.
CAIRN_LOOKS position position_of(const goroutine& g) noexcept {
  if (*const_cast<char* const volatile*>(&g.self.high) == nullptr) return {};
  std::atomic_thread_fence(std::memory_order_acquire);  // with prepare
  void** saved = static_cast<void**>(*const_cast<void* const volatile*>(&g.self.at.sp));
  if (saved == nullptr) return {};
  char* sp = reinterpret_cast<char*>(saved) + k_context_bytes;
#if defined(__x86_64__)
  const position at{saved[0], sp, saved[1]};
#else
  const position at{saved[1], sp, saved[0]};
#endif
  return is_entry(at.pc) ? position{} : at;
}

CAIRN_LOOKS const void* function_of(const goroutine& g) noexcept {
  const detail::closure* function = *const_cast<detail::closure* const volatile*>(&g.function);
  return function != nullptr ? reinterpret_cast<const void*>(function->run) : nullptr;
}

class held {
 public:
  held(goroutine& g, bool patient) noexcept : g_(g), is_(patient || is_free(g)) {
    if (is_) hold(g_);
  }
  ~held() {
    if (is_) release(g_);
  }
  held(const held&) = delete;
  held& operator=(const held&) = delete;

 private:
  static bool is_free(const goroutine& g) noexcept {
    for (int tries = 0; tries < 1000; ++tries) {
      if ((g.scan.load(std::memory_order_relaxed) & 1) == 0) return true;
      heap::cpu_relax();
    }
    return false;
  }
  goroutine& g_;
  const bool is_;
};

// Its stack, or what it begins with. False: it was switched to meanwhile.
CAIRN_LOOKS bool copy_standing(const goroutine& g, g_status status, sighting& seen,
                               stack_image& stack) noexcept {
  const std::uint32_t runs = g.runs.load(std::memory_order_acquire);
  if (g.running_on.load(std::memory_order_acquire) != nullptr) return false;
  stack.size = 0;
  // Main's stack is unmapped when it ends, which one that waits, and is held, does not.
  const position at = status == g_status::waiting || !g.is_main ? position_of(g) : position{};
  if (at.pc != nullptr) copy_stack(stack, at, g.self.low, g.self.high);
  else if (status == g_status::runnable) seen.begins_with = function_of(g);
  std::atomic_thread_fence(std::memory_order_acquire);  // with count_run
  return g.running_on.load(std::memory_order_relaxed) == nullptr &&
         g.runs.load(std::memory_order_relaxed) == runs;
}

}  // namespace

look look_at(goroutine& g, sighting& seen, stack_image& stack, bool patient) noexcept {
  runtime_section section;
  const std::uint64_t id = id_of(g);
  const held still(g, patient);
  constexpr int k_tries = 100;
  for (int tries = 0; tries < k_tries; ++tries) {
    // Acquire: with who makes it what it is.
    const g_status status = g.status.load(std::memory_order_acquire);
    if (status == g_status::free || id_of(g) != id ||
        g.became.load(std::memory_order_relaxed) != goroutine::fate::alive)
      return look::gone;
    fill(g, id, seen);
    if (g.running_on.load(std::memory_order_acquire) != nullptr) {
      seen.doing = activity::running;
      return look::runs;
    }
    // Said to run, and no thread does: about to, or about to leave its thread. For some instructions.
    if (status == g_status::running || !copy_standing(g, status, seen, stack)) {
      heap::cpu_relax();
      continue;
    }
    seen.doing = status == g_status::waiting ? activity::waiting : activity::runnable;
    if (status == g_status::waiting) {
      seen.why = g.why.load(std::memory_order_relaxed);
      seen.is_leaked = g.is_leaked();
    }
    if (g.status.load(std::memory_order_relaxed) != status) continue;
    if (stack.size > stack.capacity) return look::too_big;
    return look::done;
  }
  seen.doing = activity::running;
  return look::runs;
}

look look_at_running(const m& self, sighting& seen, stack_image& stack) noexcept {
  stack.size = 0;
  const goroutine* g = self.current_goroutine.load(std::memory_order_relaxed);
  if (g == nullptr || g->became.load(std::memory_order_relaxed) != goroutine::fate::alive) return look::gone;
  fill(*g, g->id, seen);
  const std::uint32_t state = self.state.load(std::memory_order_relaxed);
  if (g->is_frozen) seen.doing = activity::runnable;
  else seen.doing = state == k_held || state == k_held_waited ? activity::syscall : activity::running;
  seen.is_interrupted = self.interrupted;
  copy_stack(stack, {self.saved_pc, self.saved_sp, self.saved_fp}, self.stack_low, self.stack_high);
  return stack.size > stack.capacity ? look::too_big : look::done;
}

CAIRN_LOOKS bool look_from_afar(const goroutine& g, sighting& seen) noexcept {
  const std::uint64_t id = id_of(g);
  const g_status status = g.status.load(std::memory_order_acquire);  // with who makes it what it is
  if (status == g_status::free || g.became.load(std::memory_order_relaxed) != goroutine::fate::alive)
    return false;
  fill(g, id, seen);
  if (status == g_status::running) {
    const m* on = g.running_on.load(std::memory_order_acquire);
    const std::uint32_t state = on != nullptr ? on->state.load(std::memory_order_relaxed) : k_running;
    seen.doing = state == k_running || state == k_requested || state == k_stopped ? activity::running
                                                                                  : activity::syscall;
  } else if (status == g_status::waiting) {
    seen.doing = activity::waiting;
    seen.why = g.why.load(std::memory_order_relaxed);
    seen.is_leaked = g.is_leaked();
  }
  return id_of(g) == id;
}

// ---- goroutines() --------------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t k_most_frames = 128;

struct buffer {
  std::unique_ptr<char[]> bytes;
  std::size_t capacity = 0;

  buffer() = default;
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;
  buffer(buffer&& other) noexcept
      : bytes(std::move(other.bytes)), capacity(std::exchange(other.capacity, 0)) {}
  buffer& operator=(buffer&& other) noexcept {
    wipe();
    bytes = std::move(other.bytes);
    capacity = std::exchange(other.capacity, 0);
    return *this;
  }
  ~buffer() { wipe(); }

  void grow(std::size_t wanted) {
    if (wanted <= capacity) return;
    wipe();
    capacity = 0;
    bytes.reset();
    bytes.reset(new char[wanted]);  // aligned to 16, as all that new gives
    capacity = wanted;
  }

 private:
  // What a stack refers to is its own frames, most of all: left in free memory, a copy would be found by the
  // next report of leaks (gc/outside.h).
  void wipe() noexcept {
    if (bytes != nullptr) explicit_bzero(bytes.get(), capacity);
  }
};

goroutine_info info_of(const sighting& seen, stack_image& stack, std::int64_t now) {
  goroutine_info info;
  info.id = seen.id;
  info.leaked = seen.is_leaked;
  info.creator = seen.creator;
  info.created_at = const_cast<void*>(seen.created_at);
  info.state = name_of(seen.doing);
  if (seen.doing == activity::waiting) info.wait_reason = name_of(seen.why);
  if ((seen.doing == activity::waiting || seen.doing == activity::syscall) && seen.since != 0)
    info.waited = std::chrono::nanoseconds(std::max<std::int64_t>(now - seen.since, 0));
  void* frames[k_most_frames];
  std::size_t n = 0;
  if (stack.size != 0 && stack.size <= stack.capacity)
    n = unwind(stack, seen.is_interrupted, frames, k_most_frames);
  else if (seen.begins_with != nullptr) frames[n++] = const_cast<void*>(seen.begins_with);
  info.backtrace.assign(frames, frames + n);
  return info;
}

// One that runs, and where to look for it again.
struct runner {
  goroutine* g;
  sighting seen;
};

// What the threads of a handshake fill. A thread takes its share by raising `n` and `used`, so no two have the same.
struct shots {
  struct shot {
    sighting seen;
    stack_image stack;
  };
  explicit shots(std::size_t most) : all(most) {}
  ~shots() { wipe(); }
  shots(const shots&) = delete;
  shots& operator=(const shots&) = delete;
  void make_room(std::size_t most) {
    wipe();
    all.assign(most, {});
  }

  std::vector<shot> all;
  std::atomic<std::size_t> n{0}, used{0};  // relaxed: the handshake's end orders what was written
  buffer memory;

  void take(const m& self) noexcept {
    const auto bytes = static_cast<std::size_t>(static_cast<char*>(self.stack_high) -
                                                static_cast<char*>(self.saved_sp));
    if (self.current_goroutine.load(std::memory_order_relaxed) == nullptr || bytes > PTRDIFF_MAX) return;
    const std::size_t rounded = (bytes + 63) & ~std::size_t{63};
    const std::size_t at = used.fetch_add(rounded, std::memory_order_relaxed);
    const std::size_t i = n.fetch_add(1, std::memory_order_relaxed);
    if (i >= all.size()) return;
    shot& mine = all[i];
    mine.seen = {};
    mine.stack = {};
    if (at + rounded <= memory.capacity) mine.stack = {memory.bytes.get() + at, rounded, 0, {}};
    look_at_running(self, mine.seen, mine.stack);
  }

 private:
  // As buffer's: where the stacks lay is said in here.
  void wipe() noexcept {
    for (shot& s : all) explicit_bzero(&s.stack.at, sizeof s.stack.at);
  }
};

// Takes out of `runners` those that it has found running, and adds them to `found`.
void look_at_runners(std::vector<runner>& runners, std::vector<goroutine_info>& found, buffer& memory) {
  shots taken(2 * runners.size() + 16);
  memory.grow(std::size_t{64} << 10);
  std::swap(taken.memory, memory);
  for (int tries = 0; tries < 2; ++tries) {
    taken.n.store(0, std::memory_order_relaxed);
    taken.used.store(0, std::memory_order_relaxed);
    handshake([](m& self, void* all) { static_cast<shots*>(all)->take(self); }, &taken);
    const std::size_t used = taken.used.load(std::memory_order_relaxed);
    if (used <= taken.memory.capacity && taken.n.load(std::memory_order_relaxed) <= taken.all.size()) break;
    if (tries != 0) break;
    taken.memory.grow(2 * used);
    taken.make_room(2 * taken.n.load(std::memory_order_relaxed));
  }
  const std::int64_t now = now_ns();
  const std::size_t n = std::min(taken.n.load(std::memory_order_relaxed), taken.all.size());
  for (std::size_t i = 0; i < n; ++i) {
    shots::shot& shot = taken.all[i];
    const auto is_it = [&shot](const runner& r) { return r.seen.id == shot.seen.id; };
    const auto at = std::find_if(runners.begin(), runners.end(), is_it);
    if (shot.seen.id == 0 || at == runners.end()) continue;
    found.push_back(info_of(shot.seen, shot.stack, now));
    runners.erase(at);
  }
  std::swap(taken.memory, memory);
}

// Looks at one, with as much memory as it needs.
look look_with(goroutine& g, sighting& seen, stack_image& stack, buffer& memory) {
  for (;;) {
    stack = {memory.bytes.get(), memory.capacity, 0, {}};
    const look result = look_at(g, seen, stack);
    if (result != look::too_big) return result;
    memory.grow(2 * stack.size);
  }
}

void look_at_all(std::vector<goroutine_info>& found) {
  buffer memory;
  memory.grow(std::size_t{64} << 10);
  std::vector<runner> runners;
  const auto take = [&](goroutine& g) {
    sighting seen;
    stack_image stack;
    const look result = look_with(g, seen, stack, memory);
    if (result == look::done) found.push_back(info_of(seen, stack, now_ns()));
    if (result == look::runs) runners.push_back({&g, seen});
  };
  records::for_each(take);
  // Those that run may be parked when the handshake comes, and run again when they are looked at after it.
  constexpr int k_rounds = 3;
  for (int round = 0; round < k_rounds && !runners.empty(); ++round) {
    look_at_runners(runners, found, memory);
    std::vector<runner> left = std::exchange(runners, {});
    for (const runner& r : left) {
      sighting seen;
      stack_image stack;
      const look result = look_with(*r.g, seen, stack, memory);
      if (result == look::gone || seen.id != r.seen.id) continue;
      if (result == look::done) found.push_back(info_of(seen, stack, now_ns()));
      else runners.push_back(r);
    }
  }
  stack_image none;
  for (const runner& r : runners) found.push_back(info_of(r.seen, none, 0));
}

}  // namespace

std::vector<goroutine_info> look_at_each(std::span<const goroutine_name> names) {
  std::vector<goroutine_info> found;
  found.reserve(names.size());
  buffer memory;
  memory.grow(std::size_t{64} << 10);
  for (const goroutine_name& name : names) {
    sighting seen;
    stack_image stack;
    if (look_with(*name.g, seen, stack, memory) == look::done && seen.id == name.id)
      found.push_back(info_of(seen, stack, now_ns()));
  }
  return found;
}

}  // namespace cairn::sched

namespace cairn {

std::vector<goroutine_info> goroutines() {
  sched::m& self = sched::self();
  sched::check_ending();
  std::vector<goroutine_info> found;
  struct regained {
    ~regained() {
      sched::regain_p();
      sched::check_ending();
    }
  };
  {
    regained afterwards;  // destroyed when nothing refers to the thread any more: it may be another one then
    sched::spill_and_call(
        self, [](void* out) { sched::look_at_all(*static_cast<std::vector<goroutine_info>*>(out)); }, &found);
  }
  std::sort(found.begin(), found.end(),
            [](const goroutine_info& a, const goroutine_info& b) { return a.id < b.id; });
  return found;
}

}  // namespace cairn
