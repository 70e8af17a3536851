// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Cairn's concurrent cycle as a model for Spin: does it ever free what the program can reach? Read README.md first: it
// names the processes, the part of the library behind each step, and every reduction. `check` runs it.
//
// Two fibers with two pointer slots each run beside a collector that never stops. There is one static word (cell 0) and
// there are HEAP objects (1..HEAP) of one pointer field each; 0 is null. A set of objects is a byte.
//
// Configurations:
//   HEAP=n   objects (default 2)
//   TSO      a plain store waits in a store buffer of one entry; writers of one cell exclude each other (gc_ptr).
//            Without: a store is one exchange, writers race (gc_atomic)
//   MIGRATE  fibers park and resume on any idle P
//   FREEZE   a thread is frozen anywhere outside the runtime, its P goes on without it
//   WEAK     one weak reference
//   SPECIALS with WEAK: one finalizer
//   RUNS     allocation takes a slot from a run opened before; its span stays in the cache, unswept after a cycle
//   LAZY     spans are swept one by one, also by who allocates, even before H3 is through
//   MOVES    fibers move pointers between their slots (these are no longer kept sorted)
//   FEW      fiber 1 makes no objects, locks no weak reference, and a store of its is one step
//   READER   and it does not store
//   ALONE    with MIGRATE: fiber 1 is parked for good, so that fiber 0 has both Ps to itself
//   COARSE   a marker marks an object and reads its field in one step
//   WINDOWS  both fibers may be between a store and its look at once
//   LOOK     handshakes may come between the look at the flags, the look at the marks and the shading
//   OVERFLOW a buffer may be full at any shade
//   ROOTS    the static word can be cleared without the barrier, as root<T>::reset does
// Mutations (each is a bug that must be found): see README.md.

#ifndef HEAP
#define HEAP 2
#endif
#define BIT(o) (1 << (o))
#define HAS(set, o) (((set) >> (o)) & 1)
#define SHADE(o) (BIT(o) & ~1)  // the set {o}, empty for null
#define ALL (BIT(HEAP + 1) - 2)
#define NOWHERE 2

// ---- memory ---------------------------------------------------------------------------------------------
byte field[HEAP + 1];  // 0: the static word
byte slot[4];          // fiber f's slots are 2f and 2f + 1: its stack and registers
byte mark, alloc;      // the bits of all objects
#ifdef TSO
byte pending_cell[2], pending_value[2];  // the store buffer of the core fiber f runs on: cell + 1, 0 for none
byte target[2];                          // cell + 1 that fiber f is writing
#define READ(me, c) (pending_cell[me] == (c) + 1 -> pending_value[me] : field[c])
#else
#define READ(me, c) field[c]
#endif

// ---- fibers and Ps --------------------------------------------------------------------------------------
byte old[2], new[2];  // registers between a store and the end of its barrier
bool saw_grey[2];     // what the flags said, until the look at the marks
#ifdef M_KEPT
byte kept_old[2], kept_new[2];  // from then on: where no handshake looks
#endif
byte buffer[2];       // the barrier's buffer of each P
byte section;         // Ps inside a runtime section: their answers wait
#if defined(MIGRATE) || defined(FREEZE)
#define PLACED
byte place[2];  // the P that fiber f runs on
#define P(f) place[f]
#define RUNS_NOW(f) (place[f] != NOWHERE && !stuck[f])
bool stuck[2];  // the thread of fiber f is in the handler that freezes it, or frozen
#else
#define P(f) (f)
#define RUNS_NOW(f) true
#endif

// ---- the cycle ------------------------------------------------------------------------------------------
bool barrier, grey;    // cairn_barrier_flags: it is on; and some stack is grey
bool births;           // objects are born marked
byte black;            // fibers whose stack has been scanned
byte work;             // grey: what markers know of
byte hand;             // marked, its field not read yet
bool newly;            // something white was marked
byte rounds;
byte unswept;          // spans that this generation has not swept. Empty while a cycle marks, but for cached ones
#ifdef RUNS
byte cached[2];           // the object of the span in the cache of P; 0 for none
byte open;             // Ps whose run still has its slot
#ifdef PLACED
byte dark;             // Ps that have marked what is left of their run: all that they make is black
#endif
#define CACHED (SHADE(cached[0]) | SHADE(cached[1]))
#define MAY_REFILL(me) !HAS(open, P(me))
#else
#define MAY_REFILL(me) (alloc & ~unswept) != ALL
#define CACHED 0
#endif
#ifdef WEAK
#define OPEN 0
#define DIRTY 1
#define DECIDED 2
#define CLEARED 3
byte weak_target;      // the record's object; 0 when cleared
byte weak_word;
byte weak_dead;        // the object that the decision found dead; for assertions
#endif
#ifdef SPECIALS
byte final_target;     // the object that has a finalizer, 0 for none
byte queued;           // the object whose finalizer is to run: a root
#define KEPT SHADE(field[0]) | SHADE(queued)
#else
#define KEPT SHADE(field[0])
#endif

#ifdef WINDOWS
#define ONE_WINDOW(other) true
#else
#define ONE_WINDOW(other) (old[other] == 0 && new[other] == 0)
#endif
#ifdef FEW  // fiber 1 makes no objects, locks no weak reference, and a store of its is one step
#define FULL(me) (me == 0)
#else
#define FULL(me) true
#endif
#ifdef READER  // and it does not store either
#define STORES(me) (me == 0)
#else
#define STORES(me) true
#endif
#if defined(RUNS) && defined(PLACED)
#define ALL_BLACK (black == 3 && dark == 3)
#else
#define ALL_BLACK (black == 3)
#endif
// What is marked, or known to the markers, is not told again: a reduction, where marks are those of this cycle.
#define WHITE(set) ((set) & ~mark & ~work)
#define NEWS(set) (births -> WHITE(set) : (set))

// What a thread stores reaches memory: at any handshake, and when it parks.
inline drain(f) {
#ifdef TSO
  if
  :: pending_cell[f] != 0 -> field[pending_cell[f] - 1] = pending_value[f]; pending_cell[f] = 0; pending_value[f] = 0
  :: else
  fi
#else
  skip
#endif
}

// Slots are interchangeable, and twice the same pointer is as good as once: fewer states.
inline sort(me) {
#ifndef MOVES
  if
  :: slot[2 * me] == slot[2 * me + 1] -> slot[2 * me] = 0
  :: slot[2 * me] > slot[2 * me + 1] ->
     c = slot[2 * me]; slot[2 * me] = slot[2 * me + 1]; slot[2 * me + 1] = c
  :: else
  fi;
#endif
  c = 0
}

inline pick_cell(me) {
  if
  :: c = 0
  :: slot[2 * me] != 0 -> c = slot[2 * me]
  :: slot[2 * me + 1] != 0 && slot[2 * me + 1] != slot[2 * me] -> c = slot[2 * me + 1]
  fi;
  assert(c == 0 || HAS(alloc, c))  // no mutator holds what was freed
}

// Objects that point to themselves are left out.
inline pick_value(me) {
  if
  :: v = 0
  :: slot[2 * me] != 0 && slot[2 * me] != c -> v = slot[2 * me]
  :: slot[2 * me + 1] != 0 && slot[2 * me + 1] != slot[2 * me] && slot[2 * me + 1] != c -> v = slot[2 * me + 1]
  fi
}

// The set goes to P p's buffer, or, the buffer being full, with all of it to the markers.
inline record(p, set) {
  if
  :: (set) == 0
  :: (set) != 0 -> buffer[p] = buffer[p] | (set)
#ifdef OVERFLOW
  :: (set) != 0 -> work = work | buffer[p] | (set); buffer[p] = 0
#endif
  fi
}

// After the store: is the barrier on? What was written counts only while some stack is grey.
inline look(me) {
  if
#ifndef M_NEW
  :: barrier && grey -> saw_grey[me] = true
#endif
  :: else -> new[me] = 0
  fi;
  if
  :: !barrier -> old[me] = 0
  :: else
  fi
}

// What is marked already needs no shade. Marks are believed when no stack was grey, or births are black.
inline look_at_marks(me) {
  if
  :: (!saw_grey[me] || births) && ((SHADE(old[me]) | SHADE(new[me])) & ~mark) == 0 -> old[me] = 0; new[me] = 0
  :: else
  fi;
#ifdef M_KEPT
  kept_old[me] = old[me]; old[me] = 0;
  kept_new[me] = new[me]; new[me] = 0;
#endif
  saw_grey[me] = false
}

// Then, in a section, and if the barrier is on still.
inline shade_both(me) {
#ifdef M_KEPT
  old[me] = kept_old[me]; kept_old[me] = 0;
  new[me] = kept_new[me]; kept_new[me] = 0;
#endif
  if
  :: barrier ->
     v = NEWS(SHADE(old[me]) | SHADE(new[me]));
     record(P(me), v);
     v = 0
  :: else
  fi;
#ifdef TSO
  target[me] = 0;
#endif
  old[me] = 0;
  new[me] = 0
}

// ---- sweeping -------------------------------------------------------------------------------------------

// What the program can reach: from the static word, the slots, and stores on their way.
inline reach(r) {
  r = KEPT | SHADE(slot[0]) | SHADE(slot[1]) | SHADE(slot[2]) | SHADE(slot[3]);
#ifdef TSO
  r = r | SHADE(pending_value[0]) | SHADE(pending_value[1]);
#endif
  k = 0;
  do
  :: k < HEAP * HEAP ->
     if
     :: HAS(r, k % HEAP + 1) -> r = r | SHADE(field[k % HEAP + 1])
     :: else
     fi;
     k++
  :: else -> break
  od;
  k = 0
}

// The spans of the set: allocation bits := mark bits, mark bits := 0.
inline sweep(set) {
  if
  :: (alloc & (set) & ~mark) != 0 ->
     reach(r);
     assert((alloc & (set) & ~mark & r) == 0);  // nothing reachable is freed
#ifdef WEAK
     assert(!HAS(alloc & (set) & ~mark, weak_target) || weak_target == 0);
#endif
#ifdef SPECIALS
     assert(!HAS(alloc & (set) & ~mark, final_target) || final_target == 0);
#endif
     r = 0
  :: else
  fi;
  alloc = alloc & (~(set) | mark);
  k = 0;
  do  // what a freed object's field holds is of no interest: fewer states
  :: k < HEAP -> k++; if :: !HAS(alloc, k) -> field[k] = 0 :: else fi
  :: else -> break
  od;
  k = 0;
  mark = mark & ~(set);
  unswept = unswept & ~(set)
}

// ---- fibers ---------------------------------------------------------------------------------------------

// The lowest free slot in `set`, as c; 0 if there is none. Objects are interchangeable.
inline find_free(set) {
  c = 1;
  do
  :: c <= HEAP && HAS((set) & ~alloc & ~CACHED, c) -> break
  :: c <= HEAP && !HAS((set) & ~alloc & ~CACHED, c) -> c++
  :: else -> c = 0; break
  od
}

inline occupy(o, is_black) {
  alloc = alloc | BIT(o);
  field[o] = 0;
#ifndef M_BLACK
  if :: is_black -> mark = mark | BIT(o) :: else fi
#endif
}

// What is left of the run of P p is marked. (P: the thread; its run stays with it.)
#ifdef RUNS
inline blacken(p) {
#ifndef M_OPEN
  if :: HAS(open, p) -> mark = mark | BIT(cached[p]); work = work & ~BIT(cached[p]) :: else fi;
#endif
#ifdef PLACED
  dark = dark | BIT(p)
#else
  skip
#endif
}
#endif

proctype fiber(bit me) {
  byte c, v, k, r;
#ifdef WEAK
  byte p, seen;
  bool marking, marked;
#endif
#if defined(RUNS) || defined(LAZY)
  bool was_black;
#endif
next:
  do
  // slot = cell
  :: atomic {
       RUNS_NOW(me);
       pick_cell(me);
       v = READ(me, c);
       assert(v == 0 || HAS(alloc, v));
       if
       :: slot[2 * me] = v
       :: slot[2 * me + 1] = v
       fi;
       v = 0;
       sort(me)
     }

  /* the load of `old` is a step of its own in M_XCHG only: elsewhere nobody else may write the cell between the two */
  // cell = slot, by store or exchange
  :: atomic {
       RUNS_NOW(me) && STORES(me) && ONE_WINDOW(1 - me);
       pick_cell(me);
       pick_value(me);
#ifdef TSO
       target[1 - me] != c + 1 && pending_cell[1 - me] != c + 1;  // racing writers of a gc_ptr are the program's bug
       pending_cell[me] == 0;
       target[me] = c + 1;
#endif
       new[me] = v;
       old[me] = READ(me, c);
#ifdef M_XCHG
     }
     // the store
     atomic {
       RUNS_NOW(me);
#endif
#ifdef M_CONSTRUCT
       if
       :: old[me] = 0  // a constructor that takes its word for empty
       :: skip
       fi;
#endif
#ifdef TSO
       if
       :: FULL(me) -> pending_cell[me] = c + 1; pending_value[me] = v
       :: else -> field[c] = v
       fi;
#else
       field[c] = v;
#endif
       c = 0;
       v = 0;
       if
       :: !FULL(me) -> look(me); look_at_marks(me); shade_both(me); goto next
       :: else
       fi
     }
     atomic {
       RUNS_NOW(me);
       look(me);
#ifdef LOOK
     }
     atomic {
       RUNS_NOW(me);
#endif
       look_at_marks(me);
#ifdef LOOK
     }
     atomic {
       RUNS_NOW(me);
#endif
       shade_both(me)
     }

  // forgets a slot
  :: d_step { RUNS_NOW(me) && slot[2 * me] != 0 -> slot[2 * me] = 0; sort(me) }
  :: d_step { RUNS_NOW(me) && slot[2 * me + 1] != 0 && slot[2 * me + 1] != slot[2 * me] ->
       slot[2 * me + 1] = 0; sort(me) }

#ifdef MOVES
  // moves a pointer to its other slot
  :: d_step { RUNS_NOW(me) && slot[2 * me] == 0 && slot[2 * me + 1] != 0 ->
       slot[2 * me] = slot[2 * me + 1]; slot[2 * me + 1] = 0 }
  :: d_step { RUNS_NOW(me) && slot[2 * me + 1] == 0 && slot[2 * me] != 0 ->
       slot[2 * me + 1] = slot[2 * me]; slot[2 * me] = 0 }
#endif

#ifdef ROOTS
  // root<T>::reset. One root is as thread-safe as a T*.
  :: d_step { RUNS_NOW(me) && field[0] != 0 -> drain(me); field[0] = 0 }
#endif

  // makes an object
#if !defined(RUNS) && !defined(LAZY)
  :: d_step {
       RUNS_NOW(me) && FULL(me) && slot[2 * me] == 0 && (alloc | unswept) != ALL ->
       find_free(~unswept);
       occupy(c, births);
       slot[2 * me] = c;
       sort(me)
     }
#else
  // The slow path: a section, which reads the generation once. Old generation in hand, it looks at the spans that
  // were the swept ones and are the unswept ones now.
  :: d_step {
       RUNS_NOW(me) && FULL(me) && slot[2 * me] == 0 && MAY_REFILL(me) ->
       section = section | BIT(P(me)); was_black = births
     };
     d_step {
#ifdef RUNS
       if
       :: cached[P(me)] != 0 ->
          if :: HAS(unswept, cached[P(me)]) && (!was_black || births) -> sweep(BIT(cached[P(me)])) :: else fi;
          c = cached[P(me)];
          cached[P(me)] = 0;
          if :: HAS(alloc, c) -> c = 0 :: else fi
       :: else -> c = 0
       fi;
       r = (was_black && !births -> unswept : ~unswept);
       if :: c == 0 -> find_free(r) :: else fi;
#else
       r = (was_black && !births -> unswept : ~unswept);
       find_free(r);
#endif
       r = 0;
#ifdef LAZY
       if
       :: c == 0 && !was_black && !births && unswept != 0 ->  // sweeps one for its use
          c = 1;
          do
          :: !HAS(unswept & ~CACHED, c) && c < HEAP -> c++
          :: else -> break
          od;
          if
          :: HAS(unswept & ~CACHED, c) ->
             sweep(BIT(c));
             if :: HAS(alloc, c) -> c = 0 :: else fi
          :: else -> c = 0
          fi
       :: else
       fi;
#endif
       if
       :: c != 0 ->
          occupy(c, was_black);
#ifdef RUNS
          cached[P(me)] = c;
          open = open | BIT(P(me));
#else
          slot[2 * me] = c;
#endif
       :: else
       fi;
       was_black = false;
       section = section & ~BIT(P(me));
       sort(me)
     }
#endif
#ifdef RUNS
  // The fast path: no section.
  :: d_step {
       RUNS_NOW(me) && HAS(open, P(me)) && slot[2 * me] == 0 ->
       slot[2 * me] = cached[P(me)];
       open = open & ~BIT(P(me));
       sort(me)
     }
#endif

#ifdef WEAK
  // A weak reference is made. (Of records there is one here, many in the library: nobody may be about to read it.)
  :: d_step { RUNS_NOW(me) && section == 0 && weak_target == 0 && slot[2 * me + 1] != 0 ->
       weak_target = slot[2 * me + 1]; weak_dead = 0 }
  // gc_weak::lock
  :: d_step { RUNS_NOW(me) && FULL(me) && slot[2 * me] == 0 && weak_target != 0 ->
       section = section | BIT(P(me)); marking = barrier };
     p = weak_target;
     if
     :: p == 0 || !marking
     :: p != 0 && marking ->
#ifdef M_WEAK
        atomic { v = WHITE(SHADE(p)); record(P(me), v); v = 0 }
#else
again:  seen = weak_word;
        marked = HAS(mark, p);
        atomic {
          if
#ifdef M_WEAK_TWO_STATES
          :: seen == DECIDED && !(marked && weak_target == p) ->
             assert(weak_dead != 0 || weak_target != p);  // null, but the object lives
             p = 0
#else
          :: seen == CLEARED ->
             if :: weak_target != p -> p = 0 :: else fi
          :: seen == DECIDED && !marked ->
             if
             :: weak_word == CLEARED -> goto again
             :: else -> assert(weak_dead != 0); p = 0
             fi
#ifndef M_AGAIN
          :: seen == DECIDED && marked && weak_word == CLEARED -> goto again
          :: seen == DECIDED && marked && weak_word != CLEARED ->
             if :: weak_target != p -> p = 0 :: else fi
#endif
#ifndef M_RESURRECT
          /* the word may have been open, and the mark that of a finalizer of the dead */
          :: (seen == OPEN || seen == DIRTY) && marked ->
             if :: weak_target != p -> p = 0 :: else fi
#endif
#endif
          :: seen != DECIDED && seen != CLEARED && !marked ->
             if
             :: seen == OPEN && weak_word != OPEN -> goto again
             :: seen == OPEN && weak_word == OPEN -> weak_word = DIRTY
             :: seen == DIRTY
             fi;
             v = WHITE(SHADE(p));
             record(P(me), v);
             v = 0
          :: else
          fi
        }
#endif
     fi;
     // lock returns
     d_step {
       assert(p == 0 || HAS(alloc, p));  // lock never returns what was freed
       assert(p == 0 || p != weak_dead);  // nor what this cycle found dead, be it marked for its finalizer
       slot[2 * me] = p;
       p = 0; seen = 0; marking = false; marked = false;
       section = section & ~BIT(P(me));
       sort(me)
     }
#endif

#ifdef SPECIALS
  // set_finalizer
  :: d_step { RUNS_NOW(me) && FULL(me) && final_target == 0 && queued == 0 && slot[2 * me + 1] != 0 ->
       final_target = slot[2 * me + 1] }
  // runs a finalizer: its object is in a slot again
  :: d_step { RUNS_NOW(me) && FULL(me) && queued != 0 && slot[2 * me] == 0 ->
       slot[2 * me] = queued; queued = 0; sort(me) }
#endif

#ifdef MIGRATE
  // parks, and later resumes on an idle P
  :: d_step { RUNS_NOW(me) -> drain(me); place[me] = NOWHERE };
     // resumes
     atomic {
       if
       :: place[1 - me] != 0 -> place[me] = 0
       :: place[1 - me] != 1 -> place[me] = 1
       fi
#if defined(RUNS) && !defined(M_THREAD)
       ;  // a black fiber runs on a black thread only
       if :: HAS(black, me) && !HAS(dark, place[me]) -> blacken(place[me]) :: else fi
#endif
     }
#endif
  od
}

#ifdef TSO
active proctype memory() {
  do
  :: d_step { pending_cell[0] != 0 -> drain(0) }
  :: d_step { pending_cell[1] != 0 -> drain(1) }
  od
}
#endif

#ifdef FREEZE
// Freezes fiber 0's thread where it stands. The handler shades first, then publishes that the thread is frozen and lets
// go of the P; while it is at it, a handshake waits for the P.
active proctype sysmon() {
  byte v, p;
  do
  // freezes fiber 0
  :: d_step { RUNS_NOW(0) && !HAS(section, place[0]) ->
       stuck[0] = true; p = place[0]; section = section | BIT(p) };
#ifdef M_FREEZE
     d_step { drain(0); section = section & ~BIT(p); place[0] = NOWHERE };
#endif
     atomic {
       if
       :: barrier -> v = NEWS(SHADE(old[0]) | SHADE(new[0])); record(p, v); v = 0
       :: else
       fi
     };
#ifndef M_FREEZE
     d_step { drain(0); section = section & ~BIT(p); place[0] = NOWHERE };
#endif
     // its turn again, on an idle P
     atomic {
       p = 0;
       if
       :: place[1] != 0 -> place[0] = 0
       :: place[1] != 1 -> place[0] = 1
       fi;
       stuck[0] = false
     }
  od
}
#endif

// ---- the collector --------------------------------------------------------------------------------------

#define ANSWERS(p) (HAS(pend, p) && !HAS(section, p))
#define ON(f, p) (P(f) == p)
#ifdef PLACED
#define IN_SECTION(f) (place[f] != NOWHERE && HAS(section, place[f]))
#else
#define IN_SECTION(f) HAS(section, f)
#endif

inline drain_p(p) {
  if :: ON(0, p) -> drain(0) :: else fi;
  if :: ON(1, p) -> drain(1) :: else fi
}

// H1, P p: its stores so far are in memory, all that follow see the flag. What its cache holds is swept.
inline begin(p) {
  drain_p(p);
#if defined(RUNS) && !defined(M_CACHED)
  if :: cached[p] != 0 && HAS(unswept, cached[p]) -> sweep(BIT(cached[p])) :: else fi;
#endif
  pend = pend & ~BIT(p)
}

// H2: the whole stack of fiber f with its registers, in one stop; parked or frozen, it cannot resume meanwhile.
inline scan(f) {
  drain(f);
  work = work | WHITE(SHADE(slot[2 * f]) | SHADE(slot[2 * f + 1]) | SHADE(old[f]) | SHADE(new[f]));
#ifdef RUNS
#ifdef PLACED
  if :: place[f] != NOWHERE && !HAS(dark, place[f]) -> blacken(place[f]) :: else fi;
#else
  blacken(f);
#endif
#endif
  black = black | BIT(f)
}

// A round, P p: hands its buffer over, and what its fiber's registers hold between a store and the look.
inline hand_over(p) {
  drain_p(p);
  work = work | WHITE(buffer[p]);
#ifndef M_REGISTERS
  if :: ON(0, p) -> work = work | WHITE(SHADE(old[0]) | SHADE(new[0])) :: else fi;
  if :: ON(1, p) -> work = work | WHITE(SHADE(old[1]) | SHADE(new[1])) :: else fi;
#endif
  buffer[p] = 0;
  pend = pend & ~BIT(p)
}

// H3, P p: its sections know that the barrier is off and births are white; its buffer is dropped.
inline end(p) {
  drain_p(p);
#ifdef M_LATE
  work = work | buffer[p];
#endif
  buffer[p] = 0;
  pend = pend & ~BIT(p)
}

#define HANDSHAKE(f) \
  pend = 3; \
  do \
  :: d_step { ANSWERS(0) -> f(0) } \
  :: d_step { ANSWERS(1) -> f(1) } \
  :: pend == 0 -> break \
  od

// One step of a marker: takes a grey object and marks it, or reads the field of the one in its hand.
#define MARK_OBJECT(o) \
  d_step { hand == 0 && HAS(work, o) -> \
    work = work & ~BIT(o); \
    if :: HAS(alloc & ~mark, o) -> mark = mark | BIT(o); newly = true; TAKE(o) :: else fi }
#ifdef COARSE  // in one step
#define TAKE(o) work = work | WHITE(SHADE(field[o]))
#else
#define TAKE(o) hand = o
#endif
#define MARK_FIELD \
  d_step { hand != 0 -> work = work | WHITE(SHADE(field[hand])); hand = 0 }

#if HEAP == 2
#define MARK_STEPS :: MARK_OBJECT(1) :: MARK_OBJECT(2) :: MARK_FIELD
#elif HEAP == 3
#define MARK_STEPS :: MARK_OBJECT(1) :: MARK_OBJECT(2) :: MARK_OBJECT(3) :: MARK_FIELD
#else
#error "HEAP is 2 or 3"
#endif

#define MARK_ALL \
  do \
  MARK_STEPS \
  :: work == 0 && hand == 0 -> break \
  od

active proctype collector() {
  byte pend, r, k;
#ifdef M_COLOUR
  byte seen;
#endif
  atomic {
#ifdef PLACED
#ifdef ALONE
    place[1] = NOWHERE;
#else
    place[1] = 1;
#endif
#endif
    run fiber(0);
#ifndef ALONE
    run fiber(1)
#endif
  };

cycle:
  skip;
  // 1. What is left of the last cycle is swept.
#ifdef LAZY
  do
  :: d_step { HAS(unswept & ~CACHED, 1) -> sweep(BIT(1)) }
  :: d_step { HAS(unswept & ~CACHED, 2) -> sweep(BIT(2)) }
#if HEAP > 2
  :: d_step { HAS(unswept & ~CACHED, 3) -> sweep(BIT(3)) }
#endif
  :: (unswept & ~CACHED) == 0 -> break
  od;
#else
  d_step { sweep(unswept & ~CACHED) };
#endif
#ifndef M_LATE
  assert((mark & ~CACHED) == 0);
#endif

  // 2. The barrier is on; H1.
  atomic { barrier = true; grey = true };
#ifndef M_H1
  HANDSHAKE(begin);
#endif

  // 3. Births are black; 4. roots that are no thread's.
  births = true;
#ifndef M_ROOTS_LATE
  work = work | WHITE(KEPT);
#endif

  // 5. H2: stacks, while markers are at work already.
#ifdef M_COLOUR
  /* a P turns black with the fiber it runs; what is parked is scanned where it lies */
  do
  :: d_step { !HAS(seen, 0) && !HAS(section, 0) ->
       seen = seen | 1; if :: ON(0, 0) -> scan(0) :: else fi; if :: ON(1, 0) -> scan(1) :: else fi }
  :: d_step { !HAS(seen, 1) && !HAS(section, 1) ->
       seen = seen | 2; if :: ON(0, 1) -> scan(0) :: else fi; if :: ON(1, 1) -> scan(1) :: else fi }
  :: d_step { place[0] == NOWHERE && !HAS(black, 0) -> scan(0) }
  :: d_step { place[1] == NOWHERE && !HAS(black, 1) -> scan(1) }
  MARK_STEPS
  :: d_step { seen == 3 && (HAS(black, 0) || place[0] != NOWHERE) && (HAS(black, 1) || place[1] != NOWHERE) ->
       black = 3; seen = 0 };
     break
  od;
#else
  do
#ifdef M_PIECES
  :: d_step { !HAS(black, 0) -> drain(0); work = work | WHITE(SHADE(slot[0])) };
     d_step { work = work | WHITE(SHADE(slot[1]) | SHADE(old[0]) | SHADE(new[0])); black = black | 1 }
#else
  :: d_step { !HAS(black, 0) && !IN_SECTION(0) -> scan(0) }
#endif
  :: d_step { !HAS(black, 1) && !IN_SECTION(1) -> scan(1) }
#if defined(RUNS) && defined(PLACED)
  /* threads that run no fiber, or one that was black when it came */
  :: d_step { !HAS(dark, 0) && !HAS(section, 0) -> blacken(0) }
  :: d_step { !HAS(dark, 1) && !HAS(section, 1) -> blacken(1) }
#endif
  MARK_STEPS
  :: ALL_BLACK -> break
  od;
#endif
  grey = false;
#ifdef M_ROOTS_LATE
  work = work | WHITE(KEPT);
#endif

  // 6. Marking; 7. rounds, until one is quiet and no weak reference was locked in it.
marking:
  do
  MARK_STEPS
  :: d_step { work == 0 && hand == 0 ->
       newly = false;
#ifdef WEAK
       weak_word = OPEN;
       rounds++;
#endif
       skip
     };
     break
  od;
  assert(rounds <= 2 * HEAP + 2);  // a cycle ends: each round but the last marks something, or the one after it does
  HANDSHAKE(hand_over);
  MARK_ALL;
  if
#ifndef M_ROUND
  :: newly -> goto marking
#endif
  :: else
  fi;
#ifdef WEAK
  if
  :: d_step { weak_word == OPEN -> weak_word = DECIDED; weak_dead = (HAS(mark, weak_target) -> 0 : weak_target) }
  :: weak_word != OPEN -> goto marking
  fi;
  // 8. Weak references to the dead are cleared.
  d_step { if :: !HAS(mark, weak_target) -> weak_target = 0 :: else fi };
#ifndef M_WEAK_TWO_STATES
  weak_word = CLEARED;
#endif
#endif
#ifdef SPECIALS
  // Finalizers: what the dead refer to lives on, then they do themselves.
  d_step {
    if
    :: final_target != 0 && !HAS(mark, final_target) -> work = work | WHITE(SHADE(field[final_target]))
    :: else
    fi
  };
  MARK_ALL;
  atomic {
    if
    :: final_target != 0 && !HAS(mark, final_target) ->
       work = work | BIT(final_target);
       queued = final_target;
       final_target = 0
    :: else
    fi
  };
  MARK_ALL;
#endif

  // 9. The end; births are white and spans unswept in one store, the barrier off, H3.
  atomic {
    births = false; unswept = ALL; newly = false; rounds = 0; black = 0
#if defined(RUNS) && defined(PLACED)
    ; dark = 0
#endif
  };
  barrier = false;
  HANDSHAKE(end);
#ifdef M_LATE
  MARK_ALL;
#endif
  atomic {
    work = 0;
#ifdef WEAK
    weak_word = OPEN;
    weak_dead = 0;
#endif
  };
  goto cycle
}
