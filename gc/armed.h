// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Objects with destructors, and giving objects up by hand. The armed bit of a slot says that its destructor is still to
// run; the footer at the slot's end says which (include/cairn/detail/entry.h).
#pragma once

namespace cairn::gc {

// Runs the destructor of the object that starts at `object`; its armed bit is clear already.
void destroy_now(void* object);

}  // namespace cairn::gc
