// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/gdb_layout.h"

#include <array>
#include <cstddef>

#include "sched/context.h"
#include "sched/inspect.h"
#include "sched/m.h"
#include "sched/records.h"

// Both are made of single inheritance and no virtual bases.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

extern "C" void cairn_context_entry();

namespace cairn::sched {
namespace {

constexpr std::size_t k_names = 64;  // more than there are reasons
constexpr auto k_reason_names = [] {
  std::array<const char*, k_names> all{};
  for (std::size_t i = 0; i < k_names; ++i) all[i] = text_of(static_cast<wait_reason>(i));
  return all;
}();

#if defined(__x86_64__)
constexpr std::size_t k_saved_pc = 0, k_saved_fp = sizeof(void*);
#else
constexpr std::size_t k_saved_pc = sizeof(void*), k_saved_fp = 0;
#endif

template <class T>
std::uintptr_t address_of(const T& of) noexcept {
  return reinterpret_cast<std::uintptr_t>(&of);
}

}  // namespace
}  // namespace cairn::sched

using namespace cairn::sched;

const std::uintptr_t cairn_gdb_layout[23] = {
    1,
    address_of(records::segments),
    address_of(records::segment_count),
    records::k_segment_records,
    sizeof(goroutine),
    offsetof(goroutine, self) + offsetof(fiber, at) + offsetof(context, sp),
    offsetof(goroutine, self) + offsetof(fiber, high),
    offsetof(goroutine, status),
    offsetof(goroutine, why),
    offsetof(goroutine, id),
    offsetof(goroutine, running_on),
    offsetof(goroutine, thread_locks),
    offsetof(goroutine, is_frozen),
    offsetof(goroutine, became),
    offsetof(goroutine, function),
    address_of(k_reason_names),
    k_names,
    k_context_bytes,
    k_saved_pc,
    k_saved_fp,
    reinterpret_cast<std::uintptr_t>(&cairn_context_entry),
    offsetof(m, tid),
    offsetof(m, state),
};
