/* victim.h — what a victim does in each of its contexts (victim.c, early.c). */
#ifndef VICTIM_H
#define VICTIM_H
/* Call every file, descriptor and socket hook on files named PREFIX.<hook> in the current directory, and print the records that must
 * come of it, one a line. guest: in a vfork child, where descriptors are not followed. */
void victim_acts(const char *prefix, int guest);
extern const char *const victim_hooks[]; /* what it calls; NULL at the end */
#endif
