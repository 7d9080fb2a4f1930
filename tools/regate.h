/* regate.h — the gate of programs that were lent it is a dead end for them when it dies, and a sentinel that speaks through it is mute: another takes its place then.
 *
 * Programs that the library is in notice that the gate is dead and go their own way. One that was lent it (shim/lend.c) knows nothing but its port and
 * token; a new gate takes both from the block, and the authority's key from beside the spool. Calls in flight are cut, as by a network. It is the
 * collector that looks: it lives as long as the session, whoever started the gate. What a sealed command is led to was made inside of its namespaces: the
 * collector holds these listeners for the next gate. */
#ifndef VCR_REGATE_H
#define VCR_REGATE_H
#include <stdbool.h>
#include "spool-format.h"

enum { VCR_REGATES = 8 /* a gate that dies again and again is let die */, VCR_REGATE_WORDS = 140, VCR_REGATE_LISTENERS = 6 /* VCR_SEALED_LISTENERS */ };

struct vcr_regate {
	const char *spool;
	struct vcr_spool_header *h;
	const char *word[VCR_REGATE_WORDS]; /* --connect-to … and --cacert …, as vcr-record was given them; borrowed */
	int nword;
	int pid, fd;                        /* of the gate that is watched; fd -1: none, or no descriptor was to be had */
	int child, started;                 /* child: of ours, not yet waited for; 0 none */
	bool sealed;
	int listener[VCR_REGATE_LISTENERS]; /* sealed: ours; -1: none */
};
void vcr_regate_init(struct vcr_regate *r, const char *spool, struct vcr_spool_header *h);
/* One more word; beyond VCR_REGATE_WORDS none is taken. */
void vcr_regate_word(struct vcr_regate *r, const char *word);
/* The listeners of a sealed command are our descriptors from `first` on. */
void vcr_regate_inherit(struct vcr_regate *r, int first);
/* A descriptor to poll for reading, -1: none. It may change with each look. */
int vcr_regate_fd(const struct vcr_regate *r);
/* Is the gate dead that somebody was lent, that warns, or that is the only way out? Then start another. Cheap; call it whenever something has happened. */
void vcr_regate_look(struct vcr_regate *r);
void vcr_regate_release(struct vcr_regate *r);
#endif
