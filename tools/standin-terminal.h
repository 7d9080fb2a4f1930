/* standin-terminal.h — a terminal of ours in front of the one that a program prints to, so that what it prints can be kept (vcr-standin).
 *
 * The program gets the inner terminal, with the modes and the size of its own one, as its controlling terminal if it leads a session that had the outer one; job control
 * and signal characters work there. The outer one is made transparent (no echo, no translation), and what passes between both is copied by a process of ours, which
 * also hears of changes of the size. What is kept is what the inner one has made of what was printed, echo included: what the agent reads. */
#ifndef VCR_STANDIN_TERMINAL_H
#define VCR_STANDIN_TERMINAL_H
#include <stdbool.h>
#include <stddef.h>

enum { VCR_TERMINAL_TYPED = 4096 };
struct vcr_terminal {
	int inner, outer;     /* the master of ours; what the program had; -1: there is none */
	int slave;
	bool leads;           /* the program led the session whose terminal it was */
	size_t typed, at;     /* typed there, and not taken yet */
	char text[VCR_TERMINAL_TYPED];
};
/* fd, 1 or 2, is a terminal: one of ours is made, and the outer one is not the program's any more. False: nothing has changed; a program that shares the terminal with
 * others of its session is none to be kept from it. */
bool vcr_terminal_begin(struct vcr_terminal *t, int fd);
/* In the program: each of 0, 1 and 2 that is the outer one becomes the inner one. */
void vcr_terminal_enter(struct vcr_terminal *t);
/* Back, where nobody is there who copies. */
void vcr_terminal_undo(struct vcr_terminal *t);
/* In the process that copies. */
void vcr_terminal_copies(struct vcr_terminal *t);
/* The outer one can be read (t->typed is how much was), or is gone: false; the inner one can be written. */
bool vcr_terminal_typed(struct vcr_terminal *t);
void vcr_terminal_type(struct vcr_terminal *t);
/* The size of the outer one has changed, perhaps. */
void vcr_terminal_resized(struct vcr_terminal *t);
/* The last that printed has ended: the modes that they leave are the outer one's. */
void vcr_terminal_end(struct vcr_terminal *t);

/* While text that was kept so is written to that terminal again, it is transparent. NULL: it is none. */
struct vcr_terminal_modes;
struct vcr_terminal_modes *vcr_terminal_bare(int fd);
/* Wait until so much is typed there; false: it is gone. */
bool vcr_terminal_await(int fd, size_t typed);
/* As it was, if anybody uses it behind us; else what is still typed would be echoed, which it has been. */
void vcr_terminal_dress(int fd, struct vcr_terminal_modes *before, bool used);
/* Do we lead the session that has it? */
bool vcr_terminal_leads(int fd);


#endif
