/* store_job.c - the threads of jobs. */
#include "store_job.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store_internal.h"

weir_job *weir_job_new(weir_job_kind kind) {
  weir_job *job = calloc(1, sizeof *job);
  if (job != NULL) job->kind = kind;
  return job;
}

void weir_job_free(weir_job *job) {
  free(job->path);
  free(job);
}

weir_status weir_job_fail(weir_job *job, weir_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(job->message, sizeof job->message, format, arguments);
  va_end(arguments);
  return status;
}

weir_status weir_job_check(weir_job *job) {
  const char *failure = weir_store_failure(job->client->store);
  if (failure != NULL) return weir_job_fail(job, WEIR_UNAVAILABLE, "%s", failure);
  return atomic_load(&job->stopping) ? weir_job_fail(job, WEIR_CANCELLED, "it was stopped") : WEIR_OK;
}

static void hand_back(weir_client *client, weir_job *job) {
  pthread_mutex_lock(&client->lock);
  weir_job **at = &client->jobs;
  while (*at != job) at = &(*at)->next;
  *at = job->next;
  job->next = NULL;
  for (at = &client->jobs_done; *at != NULL;) at = &(*at)->next;
  *at = job;
  client->wake(client->context);
  if (--client->unfinished == 0) pthread_cond_signal(&client->idle);
  pthread_mutex_unlock(&client->lock);
}

static void *run(void *argument) {
  static weir_status (*const work[])(weir_job *) = { weir_backup, weir_sweep, weir_rebuild };
  weir_job *job = argument;
  job->status = weir_job_check(job);
  if (job->status == WEIR_OK) job->status = work[job->kind](job);
  hand_back(job->client, job);
  return NULL;
}

bool weir_job_start(weir_client *client, weir_job *job) {
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  job->client = client;
  pthread_mutex_lock(&client->lock);
  bool started = pthread_create(&job->thread, NULL, run, job) == 0;
  if (started) {
    job->next = client->jobs;
    client->jobs = job;
    client->unfinished++;
  }
  pthread_mutex_unlock(&client->lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

void weir_job_stop(weir_job *job) {
  atomic_store(&job->stopping, true);
}

void weir_client_stop_jobs(weir_client *client) {
  pthread_mutex_lock(&client->lock);
  for (weir_job *job = client->jobs; job != NULL; job = job->next) weir_job_stop(job);
  pthread_mutex_unlock(&client->lock);
}

weir_job *weir_client_jobs(weir_client *client) {
  pthread_mutex_lock(&client->lock);
  weir_job *first = client->jobs_done;
  client->jobs_done = NULL;
  pthread_mutex_unlock(&client->lock);
  for (weir_job *job = first; job != NULL; job = job->next) pthread_join(job->thread, NULL);
  return first;
}
