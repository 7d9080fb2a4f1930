/* early.c — a library whose constructor runs before the shim's and whose destructor runs after it: the victim's acts may be in both (where.h). */
#include "where.h"

int early_is_linked = 1;

__attribute__((constructor)) static void begin(int argc, char **argv)
{
	if (where_early)
		where_early(argc, argv);
}

__attribute__((destructor)) static void end(void)
{
	if (where_late)
		where_late();
}
