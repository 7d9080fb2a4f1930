/* victim.h — what a victim does in each of its contexts (victim.c). */
#ifndef VICTIM_H
#define VICTIM_H
/* Call every file, descriptor and socket hook on files named PREFIX.<hook> in the current directory, and print the records that must
 * come of it, one a line. guest: in a vfork child, where descriptors are not followed: what a connection says there is counted as lost. */
void victim_acts(const char *prefix, int guest);
#endif
