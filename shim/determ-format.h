/* determ-format.h — what a deterministic session shares: seed and clock, and who is whose child. libvcrdeterm.so and lib/determ.c know it.
 *
 * One file beside the session's spool, BASE.determ where that is BASE.spool, 0600 in a directory of 0700; made before the command is started and
 * removed with the session. Every process of the session maps it and can write to it, so what is read is bounded: the worst that wrong content
 * can do is to make bytes and times differ from those of another run.
 *
 * The clock: bits 12 and up of `clock` are the wall clock in microseconds since 1970, bits 0-11 how many processes have read it since it was
 * set; the k-th of them sees k microseconds more, so that `date +%N` twice gives two names. It is set
 *   - to the time at which an answer of a model began, by who answers: in a recording the true time, in a replay the recorded one;
 *   - by a sleep that is over, to the time at which it began and its length;
 *   - by whoever reads it when STEP_US have passed since: so much later. Nothing that waits for a time waits forever.
 * It never goes back.
 *
 * Random bytes: ChaCha20 with a key for each thread. A key is derived from another by one block of it, nonce: what for (a hash of a name), counter: the
 * how manieth of that kind:
 *   seed -> program without a parent here -> fork child, program started, thread -> ...
 * so it is the same in two runs that start the same programs in the same order, whatever their numbers are. */
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
	VCR_DETERM_SEEN_BITS = 12,
	VCR_DETERM_STEP_US = 30000000,      /* longer than a program takes to begin on a busy machine */
};

struct vcr_determ_page {
	char magic[8];
	uint64_t clock;
	uint64_t set_ns;                  /* CLOCK_MONOTONIC of when it was set */
	unsigned char seed[VCR_DETERM_KEY];
	char host[VCR_DETERM_HOST];       /* the name of the machine; "" its own */
	uint64_t crowded;                 /* children that found no place below */
	/* How many children of a kind a process has had: by what its key and the kind give, 0 free. */
	struct { uint64_t key, n; } count[VCR_DETERM_COUNTS];
	/* Keys of processes that may start others: at [(pid + 0 ... PROBE - 1) % PROCESSES]. */
	struct { uint64_t pid; unsigned char key[VCR_DETERM_KEY]; } process[VCR_DETERM_PROCESSES];
};

#endif
