/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The refresh protocol of refresh.md as a model for spin: processes that share one row, a provider
 * that replaces the refresh token at each use and ends the grant when an old one comes back, kills,
 * stops of any length, lost messages, and a person who connects anew meanwhile. tests/model runs it.
 *
 * Tokens are numbers: refresh token n came with access token n. What is asserted:
 *   P1  one refresh per expiry; a further one only for each time the window of refresh.md opened
 *   P2  no access token is handed out before the refresh token that came with it is in the row
 *   P3  an old refresh token reaches the provider, and a grant dies, only after the window opened
 *   P4  a connection is marked dead only when the provider has ended its grant
 *   and nobody waits for ever: spin reports a state in which nothing can move.
 *
 * Time is what the protocol measures: thirds of a lease since a process claimed (third[i]: 0, 1, or
 * 2 when the lease is over). It passes whatever the process does, which is what SIGSTOP is. Assumed:
 *   A1  a request ends, processed or not, before its claimant's lease is over: it is sent in the
 *       first third, and given up two thirds of a lease later at the latest
 *   A2  between the last look at the clock and the bytes leaving, no third of a lease passes
 *   A3  wall clocks are less than ten minutes apart, so that a lease is judged by nobody's wall clock
 *
 * Each NO_… takes one guard away; the test expects spin to find what the guard is there for.
 */
#ifndef PROCESSES
#define PROCESSES 2
#endif
#ifndef EXPIRIES
#define EXPIRIES 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef CONSENTS
#define CONSENTS 1
#endif

#define NOBODY 255
mtype = { none, granted, refused, failed }

/* the row */
byte row_fence, row_owner = NOBODY, row_refresh, row_access, row_grant;
bool row_is_dead;
byte needed = 1; /* access tokens below it have expired */
byte expiries;

/* the provider */
byte next_refresh, current_grant;
bool grant_is_dead;
chan requests = [PROCESSES] of { byte, byte, byte }; /* process, refresh token, grant */

/* what is on the way, and what the test knows */
bool is_asking[PROCESSES];          /* a request that the provider has not seen yet */
mtype answer[PROCESSES] = none;
byte answered_refresh[PROCESSES];
byte third[PROCESSES] = 2;
bool is_before_send[PROCESSES];     /* it has claimed, and a stop would make it late */
bool is_holding[PROCESSES];         /* it has claimed and is not done */
bool is_killed[PROCESSES];
byte kills, losses, stops, consents;
byte window;                        /* how often it opened since the last expiry */
byte refreshes;                     /* granted since the last expiry */

#ifdef NO_FENCE
#define FENCE_HOLDS(f) true
#else
#define FENCE_HOLDS(f) (row_fence == f)
#endif
#ifdef NO_COMPARE
#define ROW_IS_AS_READ(f, o) true
#else
#define ROW_IS_AS_READ(f, o) (row_fence == f && row_owner == o)
#endif
#ifdef NO_WAIT
#define LEASE_IS_OVER(o) true
#else
#define LEASE_IS_OVER(o) (third[o] == 2)
#endif
#ifdef NO_LOOK_AT_CLOCK
#define IN_TIME(i) true
#else
#define IN_TIME(i) (third[i] == 0)
#endif

/* what is forgotten is no state of its own: it keeps the search small */
#define FORGET answer[me] = none; answered_refresh[me] = 0; fence = 0; owner = 0; refresh = 0; \
	grant = 0; third[me] = 2; is_holding[me] = false

#define SEND requests!me,refresh,grant; is_asking[me] = true; is_before_send[me] = false
#define LATE is_before_send[me] = false; FORGET; goto end_look

proctype service(byte me)
{
	byte fence, owner, refresh, grant;

	{
	skip;
end_look:
	atomic {
		(row_is_dead || row_access < needed); /* a reader comes when nothing serves */
		fence = row_fence; owner = row_owner; refresh = row_refresh; grant = row_grant;
		if
		:: row_is_dead -> goto ended
		:: else
		fi
	}
	if
	:: owner == NOBODY || owner == me -> skip
	:: else ->
		if
		:: atomic { row_fence != fence || row_owner != owner -> goto end_look }
		:: LEASE_IS_OVER(owner)
		fi
	fi;
	atomic { /* claim */
		if
		:: ROW_IS_AS_READ(fence, owner) ->
			if /* the holder has an answer that is not in the row: the window */
			:: owner != NOBODY && answer[owner] == granted &&
				answered_refresh[owner] > row_refresh -> window++
			:: else
			fi;
			row_fence++; row_owner = me; fence = row_fence; third[me] = 0;
			is_before_send[me] = true; is_holding[me] = true
		:: else -> goto end_look
		fi
	}
#ifdef SLOW_SEND /* what A2 excludes */
	if
	:: IN_TIME(me)
	:: else -> LATE
	fi;
	atomic { SEND }
#else
	atomic {
		if
		:: IN_TIME(me) -> SEND
		:: else -> LATE
		fi
	}
#endif
	answer[me] != none;
#ifdef NO_STORE_FIRST
	if
	:: answer[me] == granted -> assert(row_refresh >= answered_refresh[me]) /* handed out: P2 */
	:: else
	fi;
#endif
	atomic { /* store, or record the failure */
		if
		:: !FENCE_HOLDS(fence) -> FORGET; goto end_look /* the row is the truth */
		:: FENCE_HOLDS(fence) && answer[me] == granted ->
			assert(answered_refresh[me] >= row_refresh); /* nothing newer is overwritten */
			row_refresh = answered_refresh[me]; row_access = row_refresh; row_owner = NOBODY
		:: FENCE_HOLDS(fence) && answer[me] == refused ->
			assert(grant_is_dead && grant == current_grant); /* P4 */
			row_is_dead = true; row_owner = NOBODY
		:: FENCE_HOLDS(fence) && answer[me] == failed ->
			row_owner = NOBODY
		fi
	}
	atomic {
		if
		:: answer[me] == granted -> assert(row_refresh >= answered_refresh[me]) /* P2 */
		:: else
		fi;
		FORGET
	}
	goto end_look
	} unless { is_killed[me] }
ended:
	skip
}

proctype provider()
{
	byte from, refresh, grant;

end_of_provider:
	do
	:: atomic { requests?from,refresh,grant ->
		is_asking[from] = false;
		if
		:: grant != current_grant -> answer[from] = refused /* of an older consent */
		:: grant == current_grant && grant_is_dead -> answer[from] = refused
		:: grant == current_grant && !grant_is_dead && refresh != next_refresh ->
			assert(window > 0); /* P3 */
			grant_is_dead = true; answer[from] = refused
		:: grant == current_grant && !grant_is_dead && refresh == next_refresh ->
			next_refresh++; refreshes++;
			assert(refreshes <= 1 + window); /* P1 */
			answered_refresh[from] = next_refresh; answer[from] = granted
		fi;
		from = 0; refresh = 0; grant = 0 }
	:: atomic { losses < LOSSES && nempty(requests) -> /* lost on the way there */
		requests?from,refresh,grant; losses++;
		is_asking[from] = false; answer[from] = failed;
		from = 0; refresh = 0; grant = 0 }
	od
}

/* An answer that came to nobody: the one window. */
#define LOSES(n)                                                                              \
	:: atomic { losses < LOSSES && answer[n] == granted && !is_killed[n] &&               \
		answered_refresh[n] > row_refresh ->                                          \
		losses++; window++; answer[n] = failed; answered_refresh[n] = 0 }

proctype network()
{
end_of_network:
	do
	LOSES(0)
	LOSES(1)
#if PROCESSES > 2
	LOSES(2)
#endif
	od
}

/* A living process that holds a lease finishes in time, unless it is stopped. */
#define PASSES(n)                                                                             \
	:: atomic { third[n] < 2 && !(third[n] == 1 && is_asking[n]) &&                       \
		(is_killed[n] || (third[n] == 0 && !is_before_send[n]) || !is_holding[n]) ->  \
		third[n]++ }                                                                  \
	:: atomic { third[n] < 2 && !(third[n] == 1 && is_asking[n]) && stops < STOPS &&      \
		!is_killed[n] && is_holding[n] && !(third[n] == 0 && !is_before_send[n]) ->   \
		stops++; third[n] = 2 }

proctype time()
{
end_of_time:
	do
	PASSES(0)
	PASSES(1)
#if PROCESSES > 2
	PASSES(2)
#endif
	:: atomic { expiries < EXPIRIES && row_access >= needed && !row_is_dead ->
		expiries++; needed = row_access + 1; refreshes = 0; window = 0 }
	od
}

/* kill -9, and a new consent while others refresh. */
proctype world()
{
end_of_world:
	do
	/* the last process stays, to show that work is taken over */
	:: atomic { kills < KILLS && !is_killed[0] -> is_killed[0] = true; kills++ }
#if PROCESSES > 2
	:: atomic { kills < KILLS && !is_killed[1] -> is_killed[1] = true; kills++ }
#endif
	:: atomic { consents < CONSENTS ->
		consents++; current_grant++; grant_is_dead = false;
		next_refresh++; row_refresh = next_refresh; row_access = next_refresh;
		row_grant = current_grant; row_is_dead = false; row_owner = NOBODY; row_fence++ }
	od
}

init {
	byte i;

	atomic {
		for (i : 0 .. PROCESSES - 1) { run service(i) }
		run provider(); run network(); run time(); run world()
	}
}
