// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// CAIRNDEBUG=schedtrace=N: a line about the scheduler on standard error every N milliseconds, and with scheddetail=1
// one for each P, M and G below it. Fields and layout are those of Go 1.27, so that what reads the ones reads the
// others; what Cairn does not have is 0, false or nil there. docs/debugging.md explains them.
//
// Printed by sysmon, which then does not sleep for longer than N. What a line says is not from one moment: nobody is
// stopped for it.
#pragma once
#include <cstdint>

namespace cairn::sched {

// By sysmon. Prints if it is time to. Returns until when it may sleep: as now_ns(), or k_forever.
std::int64_t trace_schedule(std::int64_t now) noexcept;

}  // namespace cairn::sched
