/* early.c — a library whose constructor runs before the shim's and whose destructor runs after it, with victim's acts in both. */
#include <stdlib.h>
#include <string.h>
#include "victim.h"

static int is(const char *what)
{
	const char *when = getenv("VICTIM_WHEN");
	return when && !strcmp(when, what);
}

__attribute__((constructor)) static void begin(void)
{
	if (is("constructor"))
		victim_acts("constructor", 0);
}

__attribute__((destructor)) static void end(void)
{
	if (is("destructor"))
		victim_acts("destructor", 0);
}
