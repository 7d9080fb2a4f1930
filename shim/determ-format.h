/* determ-format.h — what a deterministic session shares: seed and clock, and who is whose child. libvcrdeterm.so and lib/determ.c know it.
 *
 * One file beside the session's spool, BASE.determ where that is BASE.spool, 0600 in a directory of 0700; made before the command is started and
 * removed with the session. Every process of the session maps it and can write to it, so what is read is bounded: the worst that wrong content
 * can do is to make bytes and times differ from those of another run.
 *
 * The clock: `clock` is the wall clock in microseconds since 1970. It is set
 *   - to the time at which an answer of a model began, by who answers: in a recording the true time, in a replay the recorded one;
 *   - by a sleep that is over, to the time at which it began and its length; not by one of less than 10 ms in a thread that is not a process's first and has
 *     never looked at the clock: so threads of pools wait for locks, when they race;
 *   - by whoever reads it when STEP_US have passed since: so much later. Nothing that waits for a time waits forever.
 * It never goes back. A process sees as many microseconds more as there have been starts in its line before it: its parent's at that moment, and one. So two
 * that a shell starts one after the other, `date +%N` twice, see two times, and those that it starts at once see the same ones in each run.
 *
 * Random bytes: ChaCha20 with a key for each thread. A key is derived from another by one block of it, nonce: what for (a hash of a name), counter: the
 * how manieth of that kind:
 *   seed -> program without a parent here -> fork child, program started, thread -> ...
 * so it is the same in two runs that start the same programs in the same order, whatever their numbers are. What a thread's n-th draw of that many bytes gives is
 * of its key, nonce: how many, counter: n * 2^32 and on. So tasks that race within a thread do not move what each other draws, as long as they do not draw as much. */
#ifndef VCR_DETERM_FORMAT_H
#define VCR_DETERM_FORMAT_H
#include <stdint.h>

#define VCR_DETERM_MAGIC "VCRDET1\n"
enum {
	VCR_DETERM_KEY = 32,
	VCR_DETERM_HOST = 65,
	VCR_DETERM_COUNTS = 8192,
	VCR_DETERM_PROCESSES = 4096,
	VCR_DETERM_PROBE = 8,
	VCR_DETERM_STEP_US = 30000000,      /* longer than a program takes to begin on a busy machine */
};

#define VCR_DETERM_LATEST_US (1ll << 55) /* times from there on are none */

struct vcr_determ_page {
	char magic[8];
	uint64_t clock;
	uint64_t set_ns;                  /* CLOCK_MONOTONIC of when it was set */
	unsigned char seed[VCR_DETERM_KEY];
	char host[VCR_DETERM_HOST];       /* the name of the machine; "" its own */
	uint64_t crowded;                 /* children that found no place below */
	/* How many children of a kind a process has had: by what its key and the kind give, 0 free. */
	struct { uint64_t key, n; } count[VCR_DETERM_COUNTS];
	/* Processes that may start others, with their keys and the starts in their line: at [(pid + 0 ... PROBE - 1) % PROCESSES]. */
	struct vcr_determ_process { uint64_t pid, starts; unsigned char key[VCR_DETERM_KEY]; } process[VCR_DETERM_PROCESSES];
};

#endif
