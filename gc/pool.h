// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Emptying the pools of cairn::sync.
#pragma once

namespace cairn::gc::pools {

// At the start of a cycle, before anything is marked, at depth 0: what the pools have held since before the
// cycle before is dropped, what came since then is put aside.
void grow_old() noexcept;

}  // namespace cairn::gc::pools
