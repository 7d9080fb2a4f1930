/* taker WORKSPACE STATE SESSION: takes a base if the session has none, then a savepoint of each path that it reads from stdin, one a line; "pack" packs.
 * For savepoint.t, which kills it at any of its system calls. */
#include "savepoint.h"
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	const struct vcr_store_options o = { .workspace = argv[1], .state_dir = argv[2], .session = argv[3] };
	const struct vcr_store_note note = { .kind = "manual", .message = "taken" };
	struct vcr_savepoint p;
	struct vcr_store *s = NULL;
	struct vcr_error e = { 0 };
	char path[256];
	int err = argc == 4 ? vcr_store_open(&s, &o, &e) : 1;
	if (!err && vcr_store_get(s, argv[3], -1, &p, NULL))
		err = vcr_store_base(s, &note, &p, &e);
	while (!err && scanf("%255s", path) == 1)
		err = !strcmp(path, "pack") ? vcr_store_pack(s, &e) : vcr_store_take(s, &(struct vcr_store_dirty){ path, true }, 1, &note, &p, &e);
	if (err)
		fprintf(stderr, "taker: %s\n", e.what);
	vcr_store_free(s);
	return err != 0;
}
