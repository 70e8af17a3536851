// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// All of the public interface. Each part can be included by itself.
#pragma once
#include "cairn/allocator.h"
#include "cairn/chan.h"
#include "cairn/cleanup.h"
#include "cairn/clock.h"
#include "cairn/context.h"
#include "cairn/gc.h"
#include "cairn/gc_atomic.h"
#include "cairn/gc_ptr.h"
#include "cairn/gc_slice.h"
#include "cairn/gc_weak.h"
#include "cairn/goroutine_info.h"
#include "cairn/layout.h"
#include "cairn/make_gc.h"
#include "cairn/net.h"
#include "cairn/root.h"
#include "cairn/run.h"
#include "cairn/select.h"
#include "cairn/synctest.h"
#include "cairn/unique_gc.h"
#include "cairn/version.h"
#if __has_include("cairn/go.h")
#include "cairn/go.h"
#endif
#if __has_include("cairn/sync.h")
#include "cairn/sync.h"
#endif
#if __has_include("cairn/timer.h")
#include "cairn/timer.h"
#endif
