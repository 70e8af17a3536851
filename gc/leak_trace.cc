// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/leak_trace.h"

#include <link.h>

#include <algorithm>
#include <bit>

#include "gc/filter.h"
#include "gc/roots.h"
#include "gc/runtime.h"
#include "gc/specials.h"
#include "heap/mheap.h"
#include "sched/line.h"
#include "sched/p.h"
#include "sched/proc.h"
#include "sched/records.h"
#include "sched/stack.h"

namespace cairn::gc {

using heap::g_space;
using heap::object_ref;

namespace {

std::uintptr_t address_of(const void* p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }
const void* pointer_to(std::uintptr_t a) noexcept { return reinterpret_cast<const void*>(a); }

std::size_t bytes_of(const object_ref& o) noexcept {
  const std::size_t bytes = detail::k_class_bytes[o.span_class / 2];
  return bytes != 0 ? bytes : g_space.span_at(o.first)->elem_bytes;
}

// Null, while it waits: more than others can wake it.
sched::awaited_objects awaited_by(const sched::goroutine& g) noexcept {
  // Acquire: with who makes it what it is. A thread that is not attached, and goes on, may be about to wake it.
  const bool waits = g.status.load(std::memory_order_acquire) == sched::g_status::waiting &&
                     g.running_on.load(std::memory_order_acquire) == nullptr && g.self.high != nullptr &&
                     g.became.load(std::memory_order_relaxed) == sched::goroutine::fate::alive &&
                     g.home.load(std::memory_order_relaxed) == nullptr;  // a bubble reports its own
  return waits ? g.awaited : nullptr;
}

}  // namespace

// ---- suspects ------------------------------------------------------------------------------------------------------

void leak_trace::add_suspect(sched::goroutine& g) noexcept {
  const sched::awaited_objects awaited = awaited_by(g);
  if (awaited == nullptr || !awaited(
                                g, [](void*, const void*) {}, nullptr))
    return;
  if (!suspects_.push({&g, address_of(g.self.at.sp), address_of(g.self.high), 0, 0})) out_of_memory_ = true;
}

void leak_trace::list_suspects() noexcept {
  sched::records::for_each([this](sched::goroutine& g) { add_suspect(g); });
  std::sort(suspects_.begin(), suspects_.end(),
            [](const suspect& a, const suspect& b) { return a.sp < b.sp; });
  if (suspects_.empty()) return;
  for (std::size_t i = 0; i < suspects_.size(); ++i) {
    const sched::goroutine& g = *suspects_[i].g;
    if (g.task != nullptr && !tasks_.push({address_of(g.task), i})) out_of_memory_ = true;
  }
  std::sort(tasks_.begin(), tasks_.end(), comes_first);
  stacks_ = suspects_[0].sp;
  stacks_bytes_ = suspects_[suspects_.size() - 1].high - stacks_;
}

// Null: none of them does.
leak_trace::suspect* leak_trace::runner_of(std::uintptr_t task) noexcept {
  const wait* t = std::lower_bound(tasks_.begin(), tasks_.end(), wait{task, 0}, comes_first);
  return t != tasks_.end() && t->at == task ? &suspects_[t->who] : nullptr;
}

leak_trace::suspect* leak_trace::owner_of(std::uintptr_t address) noexcept {
  suspect* after = std::upper_bound(suspects_.begin(), suspects_.end(), address,
                                    [](std::uintptr_t a, const suspect& s) { return a < s.sp; });
  if (after == suspects_.begin()) return nullptr;
  suspect* s = after - 1;
  return address < s->high ? s : nullptr;
}

void leak_trace::add_wait(std::size_t who, std::uintptr_t at) noexcept {
  object_ref o;
  if (const suspect* runner = runner_of(at)) {
    at = runner->sp;
  } else if (heap::find_object(at, o)) {
    at = o.base;
    awaited_.set(at);
  } else if (owner_of(at) == nullptr) {
    return let_go_on(suspects_[who]);
  }
  if (!waits_.push({at, who})) out_of_memory_ = true;
}

void leak_trace::list_waits() noexcept {
  struct call {
    leak_trace& trace;
    std::size_t who;
  };
  for (std::size_t i = 0; i < suspects_.size(); ++i) {
    call to{*this, i};
    const sched::goroutine& g = *suspects_[i].g;
    const bool still = g.awaited(
        g,
        [](void* p, const void* object) {
          const call& c = *static_cast<call*>(p);
          c.trace.add_wait(c.who, address_of(object));
        },
        &to);
    if (!still) let_go_on(suspects_[i]);
  }
  std::sort(waits_.begin(), waits_.end(), comes_first);
}

template <class F>
void leak_trace::for_waits_in(std::uintptr_t from, std::uintptr_t to, F&& f) noexcept {
  const wait* w = std::lower_bound(waits_.begin(), waits_.end(), wait{from, 0}, comes_first);
  for (; w != waits_.end() && w->at < to; ++w) f(suspects_[w->who]);
}

void leak_trace::let_go_on(suspect& s) noexcept {
  s.can_go_on = 1;
  reach_stack(s);
}

void leak_trace::reach_stack(suspect& s) noexcept {
  if (s.is_reached != 0) return;
  s.is_reached = 1;
  push(2 * static_cast<std::uintptr_t>(&s - suspects_.begin()) + 1);
}

// ---- following -----------------------------------------------------------------------------------------------------

void leak_trace::push(std::uintptr_t entry) noexcept {
  if (!work_.push(entry)) out_of_memory_ = true;
}

void leak_trace::visit(std::uintptr_t word) noexcept {
  object_ref o;
  if (!heap::find_object(word, o) || !heap::is_allocated(o)) return;
  if (!seen_.set(o.base)) return;
  if (awaited_.has(o.base)) for_waits_in(o.base, o.base + 1, [this](suspect& s) { let_go_on(s); });
  if (!detail::is_noscan_class(o.span_class)) push(o.base);
}

// As marker::visit_tagged: one past its end keeps an array alive.
void leak_trace::visit_end(std::uintptr_t word) noexcept {
  object_ref o;
  if (!heap::find_object(word - 1, o)) return;
  const heap::mspan* s = g_space.span_at(o.first);
  if (o.base + s->elem_bytes == word && s->has_array.load(std::memory_order_relaxed) != 0) visit(o.base);
}

CAIRN_SCANS void leak_trace::scan(const void* from, const void* to) noexcept {
  const std::uintptr_t base = g_space.base;
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  for (auto* p = static_cast<const std::uintptr_t*>(from); p < to; ++p) {
    const std::uintptr_t word = *const_cast<const volatile std::uintptr_t*>(p);
    if (word - base <= limit) {
      visit(word);
      if (word % 8 == 0) visit_end(word);
    } else if (word - stacks_ < stacks_bytes_) {
      if (suspect* s = owner_of(word)) reach_stack(*s);
    }
  }
}

void leak_trace::scan_object(std::uintptr_t at) noexcept {
  object_ref o;
  if (heap::find_object(at, o)) scan(pointer_to(at), pointer_to(at + bytes_of(o)));
}

void leak_trace::scan_suspect(const suspect& s) noexcept {
  scan(&s.g->function, &s.g->function + 1);
  const sched::line_links links = sched::links_on_stack(*s.g);
  const void* from = pointer_to(s.sp);
  if (links.from != nullptr) {
    scan(from, links.from);
    from = links.to;
  }
  scan(from, pointer_to(s.high));
  for_waits_in(s.sp, s.high, [this](suspect& other) { let_go_on(other); });
}

void leak_trace::drain() noexcept {
  while (!work_.empty()) {
    const std::uintptr_t entry = work_.pop();
    if (entry % 2 != 0) scan_suspect(suspects_[entry / 2]);
    else scan_object(entry);
  }
}

// ---- from where ----------------------------------------------------------------------------------------------------

void leak_trace::follow_roots(const sched::world_stopped& stopped) noexcept {
  for_each_root_range(
      stopped, [](void* p, const void* from, const void* to) { static_cast<leak_trace*>(p)->scan(from, to); },
      this);
  sched::records::for_each([this](sched::goroutine& g) {
    const suspect* s = g.self.high != nullptr ? owner_of(address_of(g.self.at.sp)) : nullptr;
    if ((s != nullptr && s->g == &g) || g.running_on.load(std::memory_order_acquire) != nullptr) return;
    scan(&g.function, &g.function + 1);
    if (g.self.high != nullptr) scan(g.self.at.sp, g.self.high);
  });
  marker& m = the_marker();
  {
    const kept_figures keep(m);
    mark_kept(m);
    for_each_candidate(m, [this](std::uintptr_t entry) {
      if (runner_of(entry) == nullptr) visit(entry);
    });
  }
  for (int i = 0; i < sched::procs_made(); ++i)
    sched::proc_at(i)->timing.for_each([this](const sched::timer* t) {
      visit(address_of(t));
      if (suspect* s = owner_of(address_of(t))) let_go_on(*s);
    });
  rt().specials.for_each_special(
      [](void* p, special_kind kind, const object_ref& o, bool is_referred_to) {
        if (kind == special_kind::weak && is_referred_to) static_cast<leak_trace*>(p)->visit(o.base);
      },
      this);
  drain();
}

void leak_trace::visit_if_dying(const object_ref& o) noexcept {
  if (!seen_.has(o.base) && !kept_by_leaked_.has(o.base)) visit(o.base);
}

// Exactly as the collector does, and no more: what it does not find alive will come to its end.
void leak_trace::follow_leaked() noexcept {
  marker& m = the_marker();
  const kept_figures keep(m);
  for (const suspect& s : suspects_) {
    if (s.is_reached != 0) continue;
    m.scan_stack(&s.g->function, &s.g->function + 1);
    m.scan_stack(pointer_to(s.sp), pointer_to(s.high));
  }
  for_each_candidate(m, [this, &m](std::uintptr_t entry) {
    object_ref o;
    if (!heap::find_object(entry, o) || !heap::is_allocated(o)) return;
    if (seen_.has(o.base) || !kept_by_leaked_.set(o.base)) return;
    m.scan_object(o);
    m.flush();
  });
}

// What the roots and those that are left over do not reach, and has something to do before it is freed.
void leak_trace::follow_dying() noexcept {
  follow_leaked();
  rt().specials.for_each_special(
      [](void* p, special_kind kind, const object_ref& o, bool) {
        if (kind == special_kind::finalizer) static_cast<leak_trace*>(p)->visit_if_dying(o);
      },
      this);
  heap::for_each_span([this](heap::mspan* s) {
    if (s->has_armed.load(std::memory_order_relaxed) == 0) return;
    for (unsigned w = 0; w < s->n_groups(); ++w) {
      const heap::bit_group& bits = s->group(w);
      std::uint64_t armed = bits.armed.load(std::memory_order_relaxed) &
                            bits.alloc.load(std::memory_order_relaxed);
      for (; armed != 0; armed &= armed - 1) {
        const unsigned index = 64 * w + static_cast<unsigned>(std::countr_zero(armed));
        visit_if_dying({s->slot_address(index), s->first, s->span_class, index});
      }
    }
  });
  drain();
}

namespace {

using range_list = mapped_array<address_range>;

void add_range(range_list& ranges, const void* first, std::size_t bytes) noexcept {
  if (bytes != 0) ranges.push({address_of(first), address_of(first) + bytes});  // refused: it is looked at
}

int add_static_data(dl_phdr_info* info, std::size_t, void* ranges) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& ph = info->dlpi_phdr[i];
    if (ph.p_type == PT_LOAD && (ph.p_flags & PF_W) != 0)
      add_range(*static_cast<range_list*>(ranges), pointer_to(info->dlpi_addr + ph.p_vaddr), ph.p_memsz);
  }
  return 0;
}

}  // namespace

// What was looked at, and what the runtime itself knows of stacks.
void leak_trace::leave_out(const sched::world_stopped& stopped, range_list& ranges) noexcept {
  add_range(ranges, pointer_to(g_space.base), g_space.reserved);
  sched::stacks::for_each_region(
      [](void* p, const void* first, std::size_t bytes) {
        add_range(*static_cast<range_list*>(p), first, bytes);
      },
      &ranges);
  const std::size_t segments = sched::records::segment_count.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < segments; ++i)
    add_range(ranges, sched::records::segments[i].load(std::memory_order_acquire),
              sched::records::k_segment_bytes);
  // Those of ended threads too: they still tell where a goroutine last parked there.
  sched::for_each_record(stopped,
                         [&ranges](const sched::m& thread) { add_range(ranges, &thread, sizeof thread); });
  sched::for_each_m(stopped, [&ranges](const sched::m& thread) {
    if (!thread.dead)
      add_range(ranges, thread.own.low, static_cast<std::size_t>(thread.own.high - thread.own.low));
  });
  const char *low = nullptr, *high = nullptr;
  collector::find_own_stack(low, high);
  add_range(ranges, low, static_cast<std::size_t>(high - low));
  dl_iterate_phdr(add_static_data, &ranges);  // whose lock is held
  add_range(ranges, suspects_.begin(), suspects_.capacity_bytes());
  add_range(ranges, waits_.begin(), waits_.capacity_bytes());
  add_range(ranges, tasks_.begin(), tasks_.capacity_bytes());
  add_range(ranges, work_.begin(), work_.capacity_bytes());
}

namespace {

// Below where threads have gone into blocking().
void add_blocking(const sched::world_stopped& stopped, range_list& ranges) noexcept {
  sched::for_each_m(stopped, [&ranges](const sched::m& thread) {
    const std::uint32_t state = thread.state.load(std::memory_order_relaxed);
    const bool is_held = state == sched::k_held || state == sched::k_held_waited;
    const bool is_programs = thread.current_goroutine.load(std::memory_order_relaxed) != nullptr ||
                             !(thread.is_worker || thread.is_runtimes);
    if (thread.dead || thread.interrupted || !is_held || !is_programs) return;
    const auto* low = static_cast<const char*>(thread.stack_low);
    add_range(ranges, low, static_cast<std::size_t>(static_cast<const char*>(thread.saved_sp) - low));
  });
}

// An exception, even one that was freed long ago, has the frame of its last handler in it. That is none of the
// program's references: header of the C++ runtime (class, cleanup, and two words of the unwinder's).
bool is_handlers_frame(const std::uintptr_t* block, const std::uintptr_t* at) noexcept {
  constexpr std::uintptr_t k_class = 0x474e'5543'432b'2b00;  // "GNUCC++"; bit 0: it refers to another one
  return at - block >= 3 && (at[-3] & ~std::uintptr_t{1}) == k_class;
}
bool is_referred_to(std::uintptr_t address, const std::uintptr_t* block, const std::uintptr_t* from,
                    std::size_t n) noexcept {
  return std::any_of(from, from + n, [&](const std::uintptr_t& word) {
    return word == address && !is_handlers_frame(block, &word);
  });
}

}  // namespace

bool leak_trace::look_outside(const sched::world_stopped& stopped) noexcept {
  range_list ranges;
  leave_out(stopped, ranges);
  range_list also;
  add_blocking(stopped, also);
  const bool done = for_each_outside_block(
      ranges, also,
      [](void* p, const std::uintptr_t* words, std::size_t n) {
        constexpr std::size_t k_piece = 512;
        std::uintptr_t found[k_piece + k_filter_slack];
        auto& self = *static_cast<leak_trace*>(p);
        const std::uintptr_t* const block = words;
        for (; n > 0; words += std::min(n, k_piece), n -= std::min(n, k_piece)) {
          const std::size_t hits = filter_words(words, std::min(n, k_piece), self.stacks_, self.stacks_bytes_,
                                                found);
          for (std::size_t i = 0; i < hits; ++i)
            if (suspect* s = self.owner_of(found[i]);
                s != nullptr && s->is_reached == 0 &&
                is_referred_to(found[i], block, words, std::min(n, k_piece)))
              self.reach_stack(*s);
        }
      },
      this);
  drain();
  return done;
}

bool leak_trace::any_left() const noexcept {
  return std::any_of(suspects_.begin(), suspects_.end(), [](const suspect& s) { return s.is_reached == 0; });
}

trace_result leak_trace::run(const sched::world_stopped& stopped, goroutine_list& out) noexcept {
  if (!awaited_.usable() || !seen_.usable() || !kept_by_leaked_.usable()) return trace_result::no_memory;
  list_suspects();
  if (suspects_.empty()) return out_of_memory_ ? trace_result::no_memory : trace_result::complete;
  list_waits();
  follow_roots(stopped);
  if (any_left()) follow_dying();
  for (int looks = 0; looks < 2 && any_left(); ++looks)
    if (!look_outside(stopped)) return trace_result::cannot_read;
  for (const suspect& s : suspects_) {
    if (s.can_go_on != 0 || awaited_by(*s.g) == nullptr) continue;
    if (!out.push({s.g, s.g->id})) out_of_memory_ = true;
  }
  if (out_of_memory_) return trace_result::no_memory;
  for (const sched::goroutine_name& name : out)
    name.g->found_leaked.store(name.g->runs.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return trace_result::complete;
}

}  // namespace cairn::gc
