// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The mutex of goroutines with its bias (sched/mutex.cc) as a model for Spin: is it ever held by two, does its holder
// miss what the one before it wrote, is it touched by who has unlocked it, does anybody wait for ever? Read README.md
// first. `check` runs it.
//
// THREADS threads lock and unlock one mutex, USES times in all, in any distribution. Whoever takes the free word may get
// the bias or not, so that streaks of any length are among what is searched; whoever locks may go the long way. Store
// buffers are those of lock.pml. The lock of the hall is taken and released by locked instructions. Who unlocks it last
// destroys it then, while others may still be on their way out of their unlock().
//
// Configurations:
//   THREADS=n  (default 2; 3)
//   USES=n     (default 5) how often it is locked
//   DEPTH=n    (default 4; 6) entries of a store buffer
//   STRANGER   the last thread has no m
//   OTHER      the last thread does nothing but unlock what others have locked and left to it
//   TRY        some calls are try_lock(), and nobody destroys the mutex
//   RESERVED   an unlock may reserve it for the first in line
// Mutations (each is a bug that must be found): see README.md.

#ifndef THREADS
#define THREADS 2
#endif
#ifndef USES
#define USES 5
#endif
#ifndef DEPTH
#define DEPTH 4
#endif

// ---- the mutex ------------------------------------------------------------------------------------------
#define HELD 1
#define LINE 2
#define FOR_FIRST 4
#define CALLED 8
#define BIASED 16
#define BIASED_HELD 17
byte word;
byte bias;  // OWN(thread)
byte data;  // what it protects: how often it was unlocked
bool window[THREADS];

byte hall;  // thread + 1 that has its lock
byte line[THREADS], n;
bool asleep[THREADS], woken[THREADS];

#ifdef STRANGER
#define HAS_M(t) ((t) != THREADS - 1)
#else
#define HAS_M(t) true
#endif
#define OWN(t) (HAS_M(t) -> (t) + 1 : 0)

// ---- for assertions -------------------------------------------------------------------------------------
byte calls, releases, inside, ended, busy;
bool gone, handed, still[THREADS];

// ---- store buffers --------------------------------------------------------------------------------------
#define WORD 1
#define BIAS 2
#define WINDOW 3
#define DATA 4
byte delayed[THREADS];
byte what[THREADS * DEPTH], value[THREADS * DEPTH];
#define AT(t, i) ((t) * DEPTH + (i))
#define HITS(t, i, w) (delayed[t] > (i) && what[AT(t, i)] == (w))
#define LOOK(t, i, w, rest) (HITS(t, i, w) -> value[AT(t, i)] : rest)
#define READ4(t, w, rest) LOOK(t, 3, w, LOOK(t, 2, w, LOOK(t, 1, w, LOOK(t, 0, w, rest))))
#if DEPTH == 4
#define READ(t, w, memory) READ4(t, w, memory)
#elif DEPTH == 6
#define READ(t, w, memory) LOOK(t, 5, w, LOOK(t, 4, w, READ4(t, w, memory)))
#else
#error "DEPTH is 4 or 6"
#endif
#define THE_WORD READ(me, WORD, word)
#define THE_BIAS READ(me, BIAS, bias)
#define THE_DATA READ(me, DATA, data)
#define HAS_ROOM (delayed[me] < DEPTH)
#define IS_FENCED (delayed[me] == 0)

inline store(w, x) {
  what[AT(me, delayed[me])] = w;
  value[AT(me, delayed[me])] = x;
  delayed[me]++
}

// The oldest store of thread t reaches memory.
inline reaches_memory(t) {
  if
  :: what[AT(t, 0)] == WORD -> assert(!gone); word = value[AT(t, 0)]
  :: what[AT(t, 0)] == BIAS -> assert(!gone); bias = value[AT(t, 0)]
  :: what[AT(t, 0)] == WINDOW -> window[t] = value[AT(t, 0)]
  :: what[AT(t, 0)] == DATA -> data = value[AT(t, 0)]
  fi;
  k = 1;
  do
  :: k < delayed[t] -> what[AT(t, k - 1)] = what[AT(t, k)]; value[AT(t, k - 1)] = value[AT(t, k)]; k++
  :: else -> break
  od;
  k = 0;
  delayed[t]--;
  what[AT(t, delayed[t])] = 0;
  value[AT(t, delayed[t])] = 0
}

inline fence(t) {
  do
  :: delayed[t] != 0 -> reaches_memory(t)
  :: else -> break
  od
}

active proctype memory() {
  byte k;
  do
  :: d_step { delayed[0] != 0 -> reaches_memory(0) }
  :: d_step { delayed[1] != 0 -> reaches_memory(1) }
#if THREADS > 2
  :: d_step { delayed[2] != 0 -> reaches_memory(2) }
#endif
  :: d_step { ended == THREADS && delayed[0] == 0 && delayed[1] == 0 && delayed[THREADS - 1] == 0 ->
       assert((word & ~BIASED) == 0 && n == 0 && data == USES) };
     break
  od
}

// ---- the lock of the hall -------------------------------------------------------------------------------

inline enter_hall() { atomic { IS_FENCED && hall == 0 -> hall = me + 1 } }
inline leave_hall() { atomic { IS_FENCED -> hall = 0 } }

inline end_bias() {
  // whose bias it is
  atomic { assert(!gone); o = THE_BIAS };
  if
  :: o == 0
  :: else ->
#ifndef M_ORDER
     // takes the bias back
     d_step { HAS_ROOM -> store(BIAS, 0) };
#endif
     if
     :: o == OWN(me)
     :: else ->
        o--;
#ifndef M_FENCE
        // the fence
        d_step { fence(me) };
        d_step { fence(0) };
        d_step { fence(1) };
#if THREADS > 2
        d_step { fence(2) };
#endif
#endif
#ifndef M_AWAIT
        // the owner has no window open
        !window[o];
#endif
        skip
     fi;
#ifdef M_ORDER
     d_step { HAS_ROOM -> store(BIAS, 0) };
#endif
     // no bias any more
     d_step { HAS_ROOM -> v = THE_WORD & ~BIASED; store(WORD, v); v = 0 }
  fi;
  o = 0
}

#define IS_FIRST (n == 0 || line[0] == me)
#define ARE_OTHERS (n != 0 && (line[0] != me || n > 1))
#define IS_CALLED (n != 0 && line[0] != me && !asleep[line[0]])
#define IS_FREE ((word & HELD) == 0 && ((word & FOR_FIRST) == 0 || IS_FIRST))

// v: does it have it?
inline take(may_wait) {
  // takes it if it is free
  d_step {
    IS_FENCED;
    assert(!gone);
    o = (ARE_OTHERS || !IS_FREE -> LINE : 0) | (IS_CALLED -> CALLED : 0);
    v = IS_FREE;
    if
    :: v -> word = HELD | o
    :: !v && may_wait -> word = (word & (HELD | FOR_FIRST)) | o
    :: else
    fi;
    o = 0
  }
}

// ---- threads --------------------------------------------------------------------------------------------

inline opens_window() { d_step { HAS_ROOM -> store(WINDOW, true) } }
inline closes_window() { d_step { HAS_ROOM -> store(WINDOW, false) } }

// In a window: from -> to, if it has the bias. v: it is done.
inline biased_step(from, to) {
  opens_window();
  // looks whose the bias is
  atomic { assert(!gone); o = THE_BIAS };
#ifdef M_LOOK
  o = OWN(me);
#endif
  // looks at the word
  atomic { v = o == OWN(me) && THE_WORD == from; o = 0 };
#ifdef M_EARLY
  closes_window();
#endif
  // locks or unlocks it by a plain store
  if
  :: v ->
     d_step {
       HAS_ROOM;
       o = to;
       store(WORD, o);
       o = 0;
       if
       :: (to & HELD) == 0 -> released()
       :: else
       fi
     }
  :: else
  fi;
#ifndef M_EARLY
  closes_window()
#else
  skip
#endif
}

inline released() {
  inside--;
  releases++;
  last = (releases == USES)
}

#ifdef OTHER
#define LOCKS(t) ((t) != THREADS - 1)
#else
#define LOCKS(t) true
#endif

proctype thread(byte me) {
  byte v, o, k, heir;
  bool last, tries;
  do
  :: atomic {
       LOCKS(me) && calls < USES -> calls++; busy++;
       still[0] = false; still[1] = false; still[THREADS - 1] = false;
#ifdef TRY
       if
       :: tries = true;
          still[me] = (busy == 1 && inside == 0 && delayed[0] == 0 && delayed[1] == 0 && delayed[THREADS - 1] == 0)
       :: true
       fi
#endif
     };
     // lock
     if
     :: HAS_M(me) -> atomic { assert(!gone); o = THE_BIAS }
     :: goto slow
     fi;
     if
     :: o != 0 ->
        o = 0;
        biased_step(BIASED, BIASED_HELD);
        if
        :: v -> v = 0; goto has_it
        :: else -> goto slow
        fi
     :: else
     fi;
     // takes the free word
     atomic {
       IS_FENCED -> assert(!gone);
       if
       :: word == 0 -> word = HELD
       :: else -> goto slow
       fi
     };
     if
     :: goto has_it
     :: skip
     fi;
     // gets the bias
     atomic {
       IS_FENCED;
       if
       :: hall == 0 -> hall = me + 1
       :: else -> goto has_it
       fi
     };
     atomic {
       IS_FENCED;
       if
       :: word == HELD -> word = BIASED_HELD; o = OWN(me); store(BIAS, o); o = 0
       :: else
       fi
     };
     leave_hall();
     goto has_it;

slow:
     v = 0;
#ifdef TRY
     if
     :: tries ->
        // somebody has it
        if
        :: (THE_WORD & HELD) != 0 -> goto fails
        :: else
        fi;
        enter_hall();
        end_bias();
        take(false);
        leave_hall();
        if
        :: v -> v = 0; goto has_it
        :: else -> goto fails
        fi
     :: else
     fi;
#endif
     // comes before the one that is called
     if
     :: atomic { IS_FENCED && (word & ~CALLED) == LINE -> assert(!gone); word = word | HELD }; goto has_it
     :: skip
     fi;
     enter_hall();
     end_bias();
     take(true);
     if
     :: !v ->
        // stands in line
        d_step { line[n] = me; n++ };
        do
        :: // sleeps
           d_step { IS_FENCED -> asleep[me] = true; woken[me] = false; hall = 0 };
           woken[me];
           enter_hall();
           take(true);
           if
           :: v -> break
           :: else
           fi
        od;
        // leaves the line
        atomic {
          assert(line[0] == me);
          n--;
          line[0] = line[1];
#if THREADS > 2
          line[1] = line[2];
#endif
          line[n] = 0;
          woken[me] = false
        }
     :: else
     fi;
     v = 0;
     leave_hall();

has_it:
     // has it
     atomic {
       assert(inside == 0);  // nobody else has it
       inside++;
       v = 0;
       o = 0;
       tries = false;
       still[me] = false;
       busy--
     };
     // writes what it protects
     d_step {
       HAS_ROOM;
       v = THE_DATA;
       assert(v == releases);  // it sees what the one before wrote
       v++;
       store(DATA, v);
       v = 0
     };
#ifdef OTHER
     if
     :: // leaves it to another one
        atomic { IS_FENCED -> handed = true }; goto is_out
     :: skip
     fi;
#endif

unlock:
     atomic { busy++; still[0] = false; still[1] = false; still[THREADS - 1] = false };
     if
     :: HAS_M(me) ->
        atomic { assert(!gone); o = THE_BIAS };
        if
        :: o != 0 ->
           o = 0;
           biased_step(BIASED_HELD, BIASED);
           if
           :: v -> v = 0; goto done
           :: else
           fi
        :: else
        fi
     :: else
     fi;
     // by CAS, if nobody waits or the first has been called
     atomic {
       IS_FENCED -> assert(!gone);
       if
       :: word == HELD -> word = 0; released(); goto done
       :: word == (HELD | LINE | CALLED) -> word = LINE | CALLED; released(); goto done
       :: else
       fi
     };
     enter_hall();
     end_bias();
#ifdef RESERVED
     if
     :: n != 0 && asleep[line[0]] -> o = FOR_FIRST
     :: true
     fi;
#endif
     // unlocks, and calls the first in line
     d_step {
       HAS_ROOM -> assert((THE_WORD & HELD) != 0);
       if
       :: n == 0 -> store(WORD, 0)
       :: else ->
          if
          :: asleep[line[0]] -> asleep[line[0]] = false; heir = line[0] + 1
          :: else
          fi;
          o = o | LINE | CALLED;
          store(WORD, o)
       fi;
       o = 0;
       released()
     };
     leave_hall();
     // wakes it
     if
     :: heir != 0 -> d_step { woken[heir - 1] = true; heir = 0 }
     :: else
     fi;

done:
     busy--;
#ifndef TRY
     if
     :: last -> atomic { IS_FENCED -> gone = true; last = false }
     :: else
     fi;
#else
     last = false;
#endif
#ifdef OTHER
is_out:
#endif
     skip
#ifdef TRY
  :: false ->
fails:
     // it has failed, though nobody else did anything
     atomic { assert(!still[me]); tries = false; v = 0; o = 0; busy--; calls-- }
#endif
#ifdef OTHER
  :: !LOCKS(me) && handed -> handed = false; goto unlock
  :: !LOCKS(me) && releases == USES -> break
#endif
  :: LOCKS(me) && calls == USES && !tries -> break
  od;
  ended++
}

init {
  atomic {
    run thread(0);
    run thread(1);
#if THREADS > 2
    run thread(2)
#endif
  }
}
