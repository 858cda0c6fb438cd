/* SPDX-License-Identifier: MIT */
/* Each document holds its serial, and so can be known again. */
#include "tests/fault/store/publish.h"

#include <unistd.h>

#include "tests/support/place.h"

int publish(struct ay_fs *fs, const char *path, uint32_t serial, struct ay_err *err)
{
	struct ay_repo *r = NULL;
	struct ay_buf root = {0};
	struct ay_digest d, to = {{(uint8_t)serial}};
	uint8_t head[AY_HEAD_SIZE];
	char name[64];
	int fd = -1;

	fleet_root_envelope(1, &root);
	fleet_head("xo/stable", serial, 1, head);
	int rc = ay_repo_open(fs, path, true, &r, err);
	if (rc == 0 && serial == 1)
		rc = ay_repo_put_root(r, 1, root.data, root.len, err);
	if (rc == 0)
		rc = ay_repo_put(r, AY_REPO_MANIFEST, &serial, sizeof(serial), &d, err);
	if (rc == 0)
		rc = ay_repo_bundle_begin(r, &fd, name, err);
	if (rc == 0 && pwrite(fd, &serial, sizeof(serial), 0) == sizeof(serial))
		rc = ay_repo_bundle_commit(r, name, &d, err);
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		rc = ay_repo_put_offer(r, &to, &serial, sizeof(serial), err);
	if (rc == 0)
		rc = ay_repo_put(r, AY_REPO_RELEASE, &serial, sizeof(serial), &d, err);
	if (rc == 0)
		rc = ay_repo_put_head(r, "xo/stable", head, err);
	ay_repo_close(r);
	ay_buf_release(&root);
	return rc;
}
