# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # what is not set here is set by ./bench, which sources this
# The service on PostgreSQL: a cold read (the branch is not in memory) and the registration of a client,
# beside pgbench's select of one row and insert of one row on the same server, in rounds that take turns.
#
# The server has one core for itself; what asks it – the service with its load, or pgbench – has the other.
# pgbench keeps as many connections as the service and prepares its statements. What is compared is not the
# same work: a request of ours is HTTP with a key check, a join of two rows, and unsealing (a read), or a
# transaction of three rows with sealing (a registration); pgbench's is bare SQL. So there is a second yardstick
# for the registration: pgbench storing the same three rows in the same tables, a statement at a time.
# The server keeps PostgreSQL's defaults, among them that a commit waits for the disk.

postgres_rounds=${ROUNDS_POSTGRES:-7} postgres_seconds=2

postgres_bin() { printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }

# as_postgres COMMAND…, on the server's core: PostgreSQL refuses root.
as_postgres() {
	local identity=()
	[ "$(id -u)" != 0 ] || identity=(--reuid postgres --regid postgres --clear-groups)
	(cd "$work/postgres" && exec setpriv "${identity[@]}" --pdeathsig QUIT taskset -c "$server_core" "$@")
}

sql() { PGPASSWORD=bench psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U bench -d "${2:-bench}" -c "$1"; }

start_postgres() {
	local bin data=$work/postgres end=$((SECONDS + 30))
	[ -z "${postgres_port:-}" ] || return 0
	bin=$(postgres_bin)
	postgres_port=$(free_port)
	mkdir -p "$data" && chmod 711 "$work" && printf 'bench\n' >"$data/password"
	[ "$(id -u)" != 0 ] || chown -R postgres: "$data"
	as_postgres "$bin/initdb" -D "$data/data" -U bench -A scram-sha-256 --pwfile="$data/password" -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions \
		>"$log_dir/postgres.log" 2>&1 || failed "PostgreSQL's files cannot be made: $(tail -n 1 "$log_dir/postgres.log")"
	as_postgres "$bin/postgres" -D "$data/data" -p "$postgres_port" -c listen_addresses=127.0.0.1 -c "unix_socket_directories=$data" \
		</dev/null >>"$log_dir/postgres.log" 2>&1 &
	pids+=("$!")
	until "$bin/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"; do
		[ "$SECONDS" -lt "$end" ] || failed "PostgreSQL does not start: $(tail -n 1 "$log_dir/postgres.log")"
		sleep 0.1
	done
	# shellcheck disable=SC2034 # ./bench reads it
	urls[postgres]=postgresql://bench:bench@127.0.0.1:$postgres_port/bench
	sql 'CREATE DATABASE bench' postgres || failed "the database cannot be made"
	printf 'storing %d branches on PostgreSQL …\n' "$many"
	seed postgres "$many"
	sql "SELECT setval(pg_get_serial_sequence('clients', 'id'), $many)" >/dev/null || failed "the numbers of new rows cannot be set"
	sql 'VACUUM ANALYZE' || failed "the tables cannot be analysed"
}

# pgbench's own tables, with as many accounts as there are branches.
fill_pgbench() {
	PGPASSWORD=bench "$(postgres_bin)/pgbench" -i -q -s 1 -h 127.0.0.1 -p "$postgres_port" -U bench bench >"$log_dir/pgbench.log" 2>&1 ||
		failed "pgbench cannot make its tables: $(tail -n 1 "$log_dir/pgbench.log")"
	printf 'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, :client_id, 1, CURRENT_TIMESTAMP);\n' >"$work/insert.sql"
	cat >"$work/rows.sql" <<-'END'
		BEGIN ISOLATION LEVEL SERIALIZABLE;
		SELECT nextval(pg_get_serial_sequence('clients', 'id')) AS id \gset
		INSERT INTO clients (id, client_id, client_secret, redirect_uri, branch_id, workspace_email, workspace_name, status_since_ms, created_at_ms, updated_at_ms) VALUES (:id, 'bench.apps.googleusercontent.com', decode(repeat('ab', 80), 'hex'), 'http://localhost:8084/token-management/auth/callback', 'peer-' || :id, 'bench@example.com', 'Bench', 1, 1, 1) ON CONFLICT (branch_id) DO NOTHING RETURNING id;
		INSERT INTO audit (at_ms, actor, action, branch_id, detail, remote) VALUES (1, 'key:00000000', 'client.registered', 'peer-' || :id, repeat('x', 180), '127.0.0.1');
		INSERT INTO changes_pending (kind, ref, at_ms) VALUES ('client', 'peer-' || :id, 1);
		COMMIT;
	END
}

# yardstick NAME OPTION…: one round of pgbench.
yardstick() {
	local name=$1 tps
	shift
	tps=$(PGPASSWORD=bench taskset -c "$load_core" "$(postgres_bin)/pgbench" -n -M prepared -c "$postgres_links" -j 1 -T "$postgres_seconds" "$@" \
		-h 127.0.0.1 -p "$postgres_port" -U bench bench 2>>"$log_dir/pgbench.log" | sed -n 's/^tps = \([0-9]*\).*without.*/\1/p')
	[ "${tps:-0}" -gt 0 ] || failed "pgbench ended without a result: $(tail -n 1 "$log_dir/pgbench.log")"
	printf '%s\n' "$tps" >>"$work/$name.figures"
}

# counter PORT KEY NAME: one of the service's metrics.
counter() {
	curl -s --noproxy '*' -H "Authorization: Bearer $2" "http://127.0.0.1:$1/metrics" | awk -v name="$3" '$1 == name { print $2 }'
}

# A process that has read nothing yet: each branch is asked for at most once, in an order that jumps.
cold_round() {
	local warm
	serve postgres "$load_core"
	SCATTER=1 load cold "$pid" "$port" "$many" "$key" "$postgres_seconds"
	warm=$(counter "$port" "$key" review_fetcher_token_reads_total)
	postgres_links=$(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'review-fetcher'")
	[ "${warm:-1}" = 0 ] || failed "$warm reads of $(tail -n 1 "$work/cold.figures") a second were answered from memory: nothing cold was measured"
	stop "$pid"
}

register_round() {
	serve postgres "$load_core" clients:write
	LOAD=benchmarks/register.lua ROUND=$1 load register "$pid" "$port" 0 "$key" "$postgres_seconds"
	stop "$pid"
}

measure_postgres() {
	local n
	start_postgres
	fill_pgbench
	printf 'measuring cold reads and registrations (about %d s) …\n' "$((postgres_rounds * (5 * postgres_seconds + 2)))"
	for ((n = 0; n <= postgres_rounds; n++)); do
		cold_round
		yardstick select -S
		register_round "$n"
		yardstick insert -f "$work/insert.sql"
		yardstick rows -f "$work/rows.sql" --max-tries=50
		sql 'DELETE FROM changes_pending' || failed "what pgbench noted cannot be forgotten"
		[ "$n" != 0 ] || rm -f "$work"/{cold,select,register,insert,rows}.{figures,core,spent} # to warm up
	done
}

report_postgres() {
	printf '\nOn PostgreSQL (%s): the server on one core, who asks it on the other with %d connections; %d rounds of %d s, medians.\n' \
		"$(sql 'SHOW server_version')" "$postgres_links" "$postgres_rounds" "$postgres_seconds"
	printf 'A request of ours is HTTP, a key check and (un)sealing around its SQL; one of pgbench is one prepared statement.\n\n'
	printf '  %-58s %9s  %s\n' '' 'a second' 'to pgbench'
	printf '  %-58s %9s\n' 'pgbench: select of one row' "$(median <"$work/select.figures")"
	printf '  %-58s %9s  %s\n' 'review-fetcher: read of a branch that is not in memory' "$(median <"$work/cold.figures")" "$(share cold select)"
	printf '  %-58s %9s\n' 'pgbench: insert of one row' "$(median <"$work/insert.figures")"
	printf '  %-58s %9s  %s\n' 'pgbench: the rows of a registration, in one transaction' "$(median <"$work/rows.figures")" "$(share rows insert)"
	printf '  %-58s %9s  %s, to those rows %s\n' 'review-fetcher: registration of a client' "$(median <"$work/register.figures")" \
		"$(share register insert)" "$(share register rows)"
}
