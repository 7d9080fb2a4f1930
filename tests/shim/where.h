/* where.h — the situations that a hook may be called in, and a victim's acts in one of them (where.c).
 *
 * $WHERE names it: main (also when it is not set), constructor (one that runs before the shim's), thread, signal (a handler), vfork (a child of it),
 * closefrom (after closefrom(3)) or exit (a handler of exit()). A victim has where_act() and ends its main with where_run(); it is linked to libearly
 * (early.c), whose constructor runs before the shim's and calls where_early(). witness.c is told while the acts last. */
#ifndef WHERE_H
#define WHERE_H
/* What the victim does there; its exit status. */
int where_act(const char *when, int argc, char **argv);
/* The victim's exit status. In the constructor's case the acts are done by then. */
int where_run(int argc, char **argv);
int where_status(int status);               /* of a wait, as a shell has it */
void where_early(int argc, char **argv) __attribute__((weak));
void where_late(void) __attribute__((weak)); /* of the victim, if it has one: in a destructor that runs after the shim's last word */
extern int early_is_linked;
#endif
