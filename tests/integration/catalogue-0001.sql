SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.access_key (
    access_key_id text NOT NULL,
    secret_sealed bytea NOT NULL,
    user_name text NOT NULL
);
CREATE TABLE public.backup_set (
    series bigint NOT NULL,
    number integer NOT NULL,
    set_id bigint NOT NULL,
    instance_id text NOT NULL,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    mode text NOT NULL,
    base_number integer,
    state text NOT NULL,
    started_at bigint NOT NULL,
    finished_at bigint,
    consistent_at bigint,
    content_bytes bigint,
    new_bytes bigint,
    manifest text,
    manifest_bytes bigint,
    checksum text,
    node text,
    engine_version text,
    cause text,
    deletion bigint,
    CONSTRAINT backup_set_state_check CHECK ((state = ANY (ARRAY['writing'::text, 'kept'::text, 'deleted'::text, 'purged'::text, 'failed'::text, 'burnt'::text])))
);
ALTER TABLE public.backup_set ALTER COLUMN set_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.backup_set_set_id_seq
    START WITH 100000001
    INCREMENT BY 1
    NO MINVALUE
    MAXVALUE 2147483647
    CACHE 1
);
CREATE TABLE public.deletion (
    deletion bigint NOT NULL,
    series bigint NOT NULL,
    request_id text NOT NULL,
    access_key_id text NOT NULL,
    address text NOT NULL,
    deleted_at bigint NOT NULL,
    purge_after bigint NOT NULL,
    set_ids bigint[] NOT NULL,
    released_bytes bigint NOT NULL,
    freed_bytes bigint NOT NULL
);
ALTER TABLE public.deletion ALTER COLUMN deletion ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.deletion_deletion_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.instance (
    instance_id text NOT NULL,
    engine text NOT NULL,
    engine_version text NOT NULL,
    category text NOT NULL,
    type text DEFAULT 'Primary'::text NOT NULL,
    status text NOT NULL,
    lock_mode text DEFAULT 'Unlock'::text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    created_at bigint NOT NULL,
    client_token text,
    client_token_hash text,
    data_retention_days integer DEFAULT 7 NOT NULL,
    log_enabled boolean DEFAULT false NOT NULL,
    log_retention_days integer DEFAULT 7 NOT NULL,
    preferred_time text DEFAULT '02:00Z-03:00Z'::text NOT NULL,
    preferred_period text DEFAULT 'Tuesday,Thursday,Saturday'::text NOT NULL
);
CREATE TABLE public.job (
    job_id bigint NOT NULL,
    kind text NOT NULL,
    instance_id text NOT NULL,
    parameters jsonb NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    phase text DEFAULT ''::text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    request_id text,
    cause text,
    cancel_requested boolean DEFAULT false NOT NULL,
    done_bytes bigint DEFAULT 0 NOT NULL,
    of_bytes bigint,
    set_id bigint,
    created_at bigint NOT NULL,
    ended_at bigint
);
ALTER TABLE public.job ALTER COLUMN job_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.job_job_id_seq
    START WITH 1001
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.kysely_migration (
    name character varying(255) NOT NULL,
    "timestamp" character varying(255) NOT NULL
);
CREATE TABLE public.kysely_migration_lock (
    id character varying(255) NOT NULL,
    is_locked integer DEFAULT 0 NOT NULL
);
CREATE TABLE public.lease (
    name text NOT NULL,
    holder text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);
CREATE TABLE public.local_server (
    instance_id text NOT NULL,
    role text NOT NULL,
    node text NOT NULL,
    directory text NOT NULL,
    port integer NOT NULL,
    user_name text NOT NULL,
    password_sealed bytea NOT NULL
);
CREATE TABLE public.nonce (
    access_key_id text NOT NULL,
    nonce text NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.object (
    name text NOT NULL,
    series bigint,
    number integer,
    kind text NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    state text NOT NULL,
    purge bigint,
    CONSTRAINT object_state_check CHECK ((state = ANY (ARRAY['intended'::text, 'there'::text, 'abandoned'::text])))
);
CREATE TABLE public.pack (
    series bigint NOT NULL,
    pack integer NOT NULL,
    born integer NOT NULL,
    chunks integer NOT NULL,
    live_bytes bigint NOT NULL,
    target_bytes bigint NOT NULL,
    disk_bytes bigint NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    last_generation integer DEFAULT 0 NOT NULL,
    object text NOT NULL,
    dead bytea DEFAULT '\x'::bytea NOT NULL,
    keep bytea,
    CONSTRAINT pack_check CHECK (((target_bytes = 0) OR (target_bytes >= (512 + live_bytes)))),
    CONSTRAINT pack_live_bytes_check CHECK ((live_bytes >= 0))
);
CREATE TABLE public.pin (
    series bigint NOT NULL,
    number integer NOT NULL,
    reason text NOT NULL,
    holder text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);
CREATE TABLE public.plan (
    purge bigint NOT NULL,
    series bigint NOT NULL,
    pack integer NOT NULL,
    target_before bigint NOT NULL,
    target_after bigint NOT NULL,
    finished_at bigint
);
CREATE TABLE public.purge (
    purge bigint NOT NULL,
    series bigint NOT NULL,
    set_ids bigint[] NOT NULL,
    released_bytes bigint NOT NULL,
    freed_bytes bigint NOT NULL,
    manifest_bytes bigint NOT NULL,
    decided_at bigint NOT NULL,
    finished_at bigint
);
ALTER TABLE public.purge ALTER COLUMN purge ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.purge_purge_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.retirement (
    series bigint NOT NULL,
    retired integer NOT NULL,
    born integer NOT NULL,
    pack integer NOT NULL,
    bytes bigint NOT NULL,
    which bytea NOT NULL
);
CREATE TABLE public.run_sum (
    series bigint NOT NULL,
    retired integer NOT NULL,
    born integer NOT NULL,
    bytes bigint NOT NULL,
    rows integer NOT NULL
);
CREATE TABLE public.series (
    series bigint NOT NULL,
    instance_id text NOT NULL,
    next_number integer DEFAULT 1 NOT NULL,
    next_pack integer DEFAULT 1 NOT NULL,
    newest_number integer
);
ALTER TABLE public.series ALTER COLUMN series ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.series_series_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.setting (
    name text NOT NULL,
    value jsonb NOT NULL
);
INSERT INTO public.access_key VALUES ('LTAIexample', '\x00ff10', 'root');
INSERT INTO public.backup_set OVERRIDING SYSTEM VALUE VALUES (1, 1, 100000001, 'pgm-aaaaaaaaaaaaaaaa', 1001, 1, 'manual', NULL, 'deleted', 1763632800000, 1763632805000, 1763632804000, 5000, 5000, 'm/1', 900, NULL, 'pgm-aaaaaaaaaaaaaaaa-1', '18.4', NULL, 1);
INSERT INTO public.backup_set OVERRIDING SYSTEM VALUE VALUES (1, 2, 100000002, 'pgm-aaaaaaaaaaaaaaaa', 1001, 2, 'manual', 1, 'kept', 1763632900000, 1763632905000, 1763632904000, 5000, 100, 'm/2', 900, NULL, 'pgm-aaaaaaaaaaaaaaaa-1', '18.4', NULL, NULL);
INSERT INTO public.deletion OVERRIDING SYSTEM VALUE VALUES (1, 1, 'A1B2', 'LTAIexample', '127.0.0.1', 1763719200000, 1763719200000, '{100000001}', 1000, 1000);
INSERT INTO public.instance VALUES ('pgm-aaaaaaaaaaaaaaaa', 'PostgreSQL', '18', 'HighAvailability', 'Primary', 'Running', 'Unlock', 'it''s "one", (with) \ signs', 1763632800000, NULL, NULL, 7, false, 7, '02:00Z-03:00Z', 'Tuesday,Thursday,Saturday');
INSERT INTO public.job OVERRIDING SYSTEM VALUE VALUES (1001, 'take-backup', 'pgm-aaaaaaaaaaaaaaaa', '{"mode": "manual"}', 'done', '', 1, 0, NULL, NULL, false, 0, NULL, 100000001, 1763632800000, 1763632805000);
INSERT INTO public.job OVERRIDING SYSTEM VALUE VALUES (1002, 'purge-sets', 'pgm-aaaaaaaaaaaaaaaa', '{}', 'queued', '', 0, 0, NULL, NULL, false, 0, 7, NULL, 1763719200000, NULL);
INSERT INTO public.kysely_migration VALUES ('0001-initial', '2026-11-24T12:13:07.448Z');
INSERT INTO public.kysely_migration_lock VALUES ('migration_lock', 0);
INSERT INTO public.lease VALUES ('duties', 'h1', '2026-11-20 10:00:00+00');
INSERT INTO public.local_server VALUES ('pgm-aaaaaaaaaaaaaaaa', 'primary', 'pgm-aaaaaaaaaaaaaaaa-1', '/var/lib/holdfast/instances/a-1', 40001, 'holdfast', '\xdeadbeef');
INSERT INTO public.nonce VALUES ('LTAIexample', 'n-1', '2026-11-20 10:00:00.123456+00');
INSERT INTO public.object VALUES ('p/1', 1, 1, 'pack', 2600, 'there', NULL);
INSERT INTO public.object VALUES ('m/1', 1, 1, 'manifest', 900, 'abandoned', 1);
INSERT INTO public.pack VALUES (1, 1, 1, 3, 2000, 2600, 2600, 0, 0, 'p/1', '\x', NULL);
INSERT INTO public.pack VALUES (1, 2, 2, 1, 100, 700, 700, 0, 0, 'p/2', '\x', NULL);
INSERT INTO public.pin VALUES (1, 2, 'restore', 'h1', '2026-11-20 10:00:00+00');
INSERT INTO public.plan VALUES (1, 1, 1, 2600, 1600, NULL);
INSERT INTO public.purge OVERRIDING SYSTEM VALUE VALUES (1, 1, '{100000001}', 1000, 1000, 900, 1763719300000, NULL);
INSERT INTO public.retirement VALUES (1, 2, 1, 1, 1000, '\x05');
INSERT INTO public.run_sum VALUES (1, 2, 1, 1000, 1);
INSERT INTO public.series OVERRIDING SYSTEM VALUE VALUES (1, 'pgm-aaaaaaaaaaaaaaaa', 3, 3, 2);
INSERT INTO public.setting VALUES ('development-clock', 'true');
INSERT INTO public.setting VALUES ('repository', '"6f2c1c5e-6f0c-4c8e-9d34-0a5d2b1f7e11"');
SELECT pg_catalog.setval('public.backup_set_set_id_seq', 100000002, true);
SELECT pg_catalog.setval('public.deletion_deletion_seq', 1, true);
SELECT pg_catalog.setval('public.job_job_id_seq', 1002, true);
SELECT pg_catalog.setval('public.purge_purge_seq', 1, true);
SELECT pg_catalog.setval('public.series_series_seq', 1, true);
ALTER TABLE ONLY public.access_key
    ADD CONSTRAINT access_key_pkey PRIMARY KEY (access_key_id);
ALTER TABLE ONLY public.backup_set
    ADD CONSTRAINT backup_set_pkey PRIMARY KEY (series, number);
ALTER TABLE ONLY public.backup_set
    ADD CONSTRAINT backup_set_set_id_key UNIQUE (set_id);
ALTER TABLE ONLY public.deletion
    ADD CONSTRAINT deletion_pkey PRIMARY KEY (deletion);
ALTER TABLE ONLY public.instance
    ADD CONSTRAINT instance_client_token_key UNIQUE (client_token);
ALTER TABLE ONLY public.instance
    ADD CONSTRAINT instance_pkey PRIMARY KEY (instance_id);
ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (job_id);
ALTER TABLE ONLY public.kysely_migration_lock
    ADD CONSTRAINT kysely_migration_lock_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.kysely_migration
    ADD CONSTRAINT kysely_migration_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.local_server
    ADD CONSTRAINT local_server_node_key UNIQUE (node);
ALTER TABLE ONLY public.local_server
    ADD CONSTRAINT local_server_pkey PRIMARY KEY (instance_id, role);
ALTER TABLE ONLY public.local_server
    ADD CONSTRAINT local_server_port_key UNIQUE (port);
ALTER TABLE ONLY public.nonce
    ADD CONSTRAINT nonce_pkey PRIMARY KEY (access_key_id, nonce);
ALTER TABLE ONLY public.object
    ADD CONSTRAINT object_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT pack_pkey PRIMARY KEY (series, pack);
ALTER TABLE ONLY public.pin
    ADD CONSTRAINT pin_pkey PRIMARY KEY (series, number, reason, holder);
ALTER TABLE ONLY public.plan
    ADD CONSTRAINT plan_pkey PRIMARY KEY (purge, pack);
ALTER TABLE ONLY public.purge
    ADD CONSTRAINT purge_pkey PRIMARY KEY (purge);
ALTER TABLE ONLY public.retirement
    ADD CONSTRAINT retirement_pkey PRIMARY KEY (series, retired, born, pack);
ALTER TABLE ONLY public.run_sum
    ADD CONSTRAINT run_sum_pkey PRIMARY KEY (series, retired, born);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT series_instance_id_key UNIQUE (instance_id);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT series_pkey PRIMARY KEY (series);
ALTER TABLE ONLY public.setting
    ADD CONSTRAINT setting_pkey PRIMARY KEY (name);
CREATE INDEX backup_set_deleted ON public.backup_set USING btree (series, deletion) WHERE (state = 'deleted'::text);
CREATE INDEX backup_set_kept ON public.backup_set USING btree (series, number) WHERE (state = ANY (ARRAY['kept'::text, 'deleted'::text]));
CREATE INDEX backup_set_listed ON public.backup_set USING btree (instance_id, started_at) WHERE (state = ANY (ARRAY['kept'::text, 'failed'::text]));
CREATE UNIQUE INDEX backup_set_one_writer ON public.backup_set USING btree (series) WHERE (state = 'writing'::text);
CREATE INDEX job_of_instance ON public.job USING btree (instance_id, kind, created_at);
CREATE UNIQUE INDEX job_one_backup ON public.job USING btree (instance_id) WHERE ((kind = 'take-backup'::text) AND (state = ANY (ARRAY['queued'::text, 'running'::text])));
CREATE INDEX nonce_expiry ON public.nonce USING btree (expires_at);
CREATE INDEX object_abandoned ON public.object USING btree (series) WHERE (state = 'abandoned'::text);
CREATE INDEX object_attempt ON public.object USING btree (series, number);
CREATE INDEX pack_born ON public.pack USING btree (series, born);
CREATE INDEX pack_due ON public.pack USING btree (series, live_bytes) WHERE (disk_bytes > target_bytes);
CREATE INDEX plan_open ON public.plan USING btree (series, pack) WHERE (finished_at IS NULL);
CREATE INDEX retirement_pack ON public.retirement USING btree (series, pack);
ALTER TABLE ONLY public.backup_set
    ADD CONSTRAINT backup_set_deletion_fkey FOREIGN KEY (deletion) REFERENCES public.deletion(deletion);
ALTER TABLE ONLY public.backup_set
    ADD CONSTRAINT backup_set_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES public.instance(instance_id);
ALTER TABLE ONLY public.backup_set
    ADD CONSTRAINT backup_set_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job(job_id);
ALTER TABLE ONLY public.backup_set
    ADD CONSTRAINT backup_set_series_fkey FOREIGN KEY (series) REFERENCES public.series(series);
ALTER TABLE ONLY public.deletion
    ADD CONSTRAINT deletion_series_fkey FOREIGN KEY (series) REFERENCES public.series(series);
ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES public.instance(instance_id);
ALTER TABLE ONLY public.local_server
    ADD CONSTRAINT local_server_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES public.instance(instance_id);
ALTER TABLE ONLY public.object
    ADD CONSTRAINT object_purge_fkey FOREIGN KEY (purge) REFERENCES public.purge(purge);
ALTER TABLE ONLY public.pack
    ADD CONSTRAINT pack_series_fkey FOREIGN KEY (series) REFERENCES public.series(series);
ALTER TABLE ONLY public.plan
    ADD CONSTRAINT plan_purge_fkey FOREIGN KEY (purge) REFERENCES public.purge(purge);
ALTER TABLE ONLY public.purge
    ADD CONSTRAINT purge_series_fkey FOREIGN KEY (series) REFERENCES public.series(series);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT series_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES public.instance(instance_id);
