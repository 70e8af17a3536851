// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The threads of workers, and the one that makes them. Making a thread takes locks of the C library, which a
// goroutine that is not running may hold; so nobody in the scheduler does it, but a thread of its own, ahead of need.
#pragma once

namespace cairn::sched {

// Starts what the scheduler consists of, once: the thread that makes workers, sysmon, the first Ps. Depth 0. Throws
// std::system_error or std::bad_alloc.
void ensure_workers();
// There is an idle P and no worker that sleeps. Any depth, any thread.
void request_worker() noexcept;

}  // namespace cairn::sched
