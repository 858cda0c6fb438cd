/* SPDX-License-Identifier: MIT */
/*
 * Hashing many files on all cores, and noticing when one changes meanwhile.
 *
 * A change is seen in ctime, but ctime ticks only every few milliseconds: two
 * writes in one tick look like one. So a file whose ctime is not yet in the past
 * is not read before the tick is over; then each later write moves ctime.
 * (Git knows the same trouble as "racy" entries.)
 */
#include "store/hash_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sparse.h"

#define TICK_MAX_NS                                                                                          \
	20000000 /* two ticks of the slowest kernel clock (100 Hz); a ctime further ahead is a wrong clock */
#define TICK_STEP_NS 1000000

struct ay__hash_pool {
	pthread_mutex_t lock;
	pthread_cond_t more; /* a job waits, or stop */
	pthread_cond_t
		moved; /* what the giver waits for has happened: room in the queue, or the job @awaited */
	struct ay__hash_job *first, **last;
	unsigned waiting, sleeping; /* jobs; threads */
	bool full;                  /* the giver waits for room */
	struct ay__hash_job *
		awaited; /* the giver waits for this one: waking it for each would cost more than a small file */
	atomic_bool stop;
	unsigned n_threads;
	pthread_t threads[AY__HASH_THREADS_MAX];
};

bool ay__stat_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

unsigned ay__cpu_count(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
							     : (int)sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > AY__HASH_THREADS_MAX ? AY__HASH_THREADS_MAX : (unsigned)n;
}

/* Wait until a write from now on would get another ctime than @ctime. */
static void wait_for_tick(const struct timespec *ctime)
{
	const struct timespec step = {.tv_nsec = TICK_STEP_NS};

	for (int waited = 0; waited <= TICK_MAX_NS; waited += TICK_STEP_NS) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		int64_t ahead =
			((int64_t)ctime->tv_sec - now.tv_sec) * 1000000000 + ctime->tv_nsec - now.tv_nsec;
		if (ahead < 0 || ahead > TICK_MAX_NS)
			return;
		nanosleep(&step, NULL);
	}
}

void ay__hash_job_wait(const struct ay__hash_job *job)
{
	wait_for_tick(&job->before.st_ctim);
}

int ay__hash_job_read(struct ay__hash_job *job, struct ay__hash_tools *tools)
{
	struct ay_hasher *h = tools->hasher;
	uint8_t *buf = tools->buf;
	struct stat after;
	uint64_t at = 0, size = (uint64_t)job->before.st_size;
	uint64_t end =
		job->before.st_blocks * 512 < job->before.st_size ? 0 : size; /* of the data around @at */

	wait_for_tick(&job->before.st_ctim);
	ay_hasher_reset(h);
	posix_fadvise(job->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: its failure costs time only */
	while (at < size) {
		if (atomic_load_explicit(tools->stop, memory_order_relaxed))
			return -ECANCELED;
		if (at == end && ay_sparse_next(job->fd, at, size, &end)) {
			ay_hasher_zeros(h, end - at);
			at = end;
			continue;
		}
		uint64_t left = end - at;
		ssize_t n = pread(job->fd, buf, left < AY__HASH_READ_SIZE ? (size_t)left : AY__HASH_READ_SIZE,
				  (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return AY_EBUSY;
		ay_hasher_update(h, buf, (size_t)n);
		at += (uint64_t)n;
	}
	if (fstat(job->fd, &after) < 0)
		return -errno;
	if (!ay__stat_same(&job->before, &after))
		return AY_EBUSY;
	ay_hasher_final(h, &job->digest);
	return 0;
}

static void run(struct ay__hash_job *job, struct ay__hash_tools *tools)
{
	if (!tools->hasher || !tools->buf)
		job->rc = -ENOMEM;
	else
		job->rc = job->work ? job->work(job, tools) : ay__hash_job_read(job, tools);
	close(job->fd);
	job->fd = -1;
}

static struct ay__hash_job *take(struct ay__hash_pool *p)
{
	struct ay__hash_job *job = p->first;
	if (job) {
		p->first = job->next;
		if (!p->first)
			p->last = &p->first;
		p->waiting--;
	}
	return job;
}

static void *work(void *arg)
{
	struct ay__hash_pool *p = arg;
	AY_FREE struct ay_hasher *h = ay_hasher_new();
	AY_FREE uint8_t *buf = malloc(AY__HASH_READ_SIZE);
	struct ay__hash_tools tools = {.hasher = h, .buf = buf, .stop = &p->stop};

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct ay__hash_job *job = take(p);
		if (!job && p->stop)
			break;
		if (!job) {
			p->sleeping++;
			pthread_cond_wait(&p->more, &p->lock);
			p->sleeping--;
			continue;
		}
		if (p->full && p->waiting <= AY__HASH_QUEUE_MAX / 2)
			pthread_cond_signal(&p->moved);
		pthread_mutex_unlock(&p->lock);
		run(job, &tools);
		pthread_mutex_lock(&p->lock);
		job->done = true;
		if (job == p->awaited)
			pthread_cond_signal(&p->moved);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct ay__hash_pool *ay__hash_pool_new(unsigned threads)
{
	struct ay__hash_pool *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	pthread_cond_init(&p->moved, NULL);
	p->last = &p->first;
	if (threads == 0)
		threads = ay__cpu_count();
	if (threads == AY__HASH_INLINE)
		threads = 0;
	else if (threads > AY__HASH_THREADS_MAX)
		threads = AY__HASH_THREADS_MAX;
	/* Fewer threads than wished is slower, nothing else; without any the giver works itself. */
	while (p->n_threads < threads && pthread_create(&p->threads[p->n_threads], NULL, work, p) == 0)
		p->n_threads++;
	return p;
}

void ay__hash_pool_free(struct ay__hash_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	for (struct ay__hash_job *job; (job = take(p));) {
		close(job->fd);
		job->fd = -1;
		job->rc = -ECANCELED;
		job->done = true;
	}
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->moved);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void ay__hash_pool_give(struct ay__hash_pool *p, struct ay__hash_job *job)
{
	job->done = false;
	job->next = NULL;
	if (p->n_threads == 0) {
		AY_FREE struct ay_hasher *h = ay_hasher_new();
		AY_FREE uint8_t *buf = malloc(AY__HASH_READ_SIZE);
		struct ay__hash_tools tools = {.hasher = h, .buf = buf, .stop = &p->stop};
		run(job, &tools);
		job->done = true;
		return;
	}
	pthread_mutex_lock(&p->lock);
	p->full = p->waiting >= AY__HASH_QUEUE_MAX;
	while (p->full) {
		pthread_cond_wait(&p->moved, &p->lock);
		p->full = p->waiting > AY__HASH_QUEUE_MAX / 2;
	}
	*p->last = job;
	p->last = &job->next;
	p->waiting++;
	if (p->sleeping > 0)
		pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
}

bool ay__hash_pool_done(struct ay__hash_pool *p, struct ay__hash_job *job, bool wait)
{
	pthread_mutex_lock(&p->lock);
	p->awaited = job;
	while (wait && !job->done)
		pthread_cond_wait(&p->moved, &p->lock);
	p->awaited = NULL;
	bool done = job->done;
	pthread_mutex_unlock(&p->lock);
	return done;
}
