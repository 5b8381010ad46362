// Drives node-postgres and prints a report.

import assert from "node:assert/strict";

import pg from "pg";

import { environment, reportOn, untilItRuns, versionOf } from "./reporting.mjs";

async function connected(work, options = {}) {
  const client = new pg.Client({ ...environment, ...options });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function query() {
  await connected(async (client) => {
    const one = { name: "one", text: "SELECT item FROM shop.orders WHERE id = $1" };
    for (let id = 1; id <= 5; id++) {
      const { rows } = await client.query({ ...one, values: [id] });
      assert.equal(rows[0].item, `item ${id}`);
    }
    await assert.rejects(client.query("SELECT 1/0"), { code: "22012" });
  });
}

async function transact() {
  await connected(async (client) => {
    await client.query("BEGIN");
    const { rowCount } = await client.query("UPDATE shop.orders SET item = 'x' WHERE id < 11");
    assert.equal(rowCount, 10);
    await client.query("ROLLBACK");
    const { rows } = await client.query("SELECT item FROM shop.orders WHERE id = 7");
    assert.equal(rows[0].item, "item 7");
  });
}

async function listen() {
  await connected(async (client) => {
    const heard = new Promise((resolve) => client.once("notification", resolve));
    await client.query("LISTEN here");
    await client.query("NOTIFY here, 'news'");
    assert.equal((await heard).payload, "news");
  });
}

async function pool() {
  const many = new pg.Pool({ ...environment, max: 4 });
  const asked = Array.from({ length: 20 }, (_, n) => many.query("SELECT $1::int AS n", [n]));
  const answers = await Promise.all(asked);
  assert.deepEqual(answers.map(({ rows }) => rows[0].n), Array.from({ length: 20 }, (_, n) => n));
  await many.end();
}

async function cancel() {
  const sleep = "SELECT pg_sleep(20), 'node-postgres'";
  await connected(async (client) => {
    const running = new pg.Query(sleep);
    const ended = new Promise((resolve) => running.once("error", resolve));
    client.query(running);
    await connected((watcher) =>
      untilItRuns(sleep, async (sql) => {
        const count = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query = $1";
        return (await watcher.query(count, [sql])).rows[0].n;
      }),
    );
    new pg.Client(environment).cancel(client, running);
    assert.equal((await ended).code, "57014");
    assert.equal((await client.query("SELECT 1 AS n")).rows[0].n, 1);
  });
}

async function bindChannel() {
  const client = new pg.Client({ ...environment, enableChannelBinding: true });
  const chosen = [];
  const send = client.connection.sendSASLInitialResponseMessage;
  client.connection.sendSASLInitialResponseMessage = function (mechanism, response) {
    chosen.push(mechanism);
    return send.call(this, mechanism, response);
  };
  await client.connect();
  await client.end();
  assert.deepEqual(chosen, ["SCRAM-SHA-256-PLUS"]);
}

await reportOn(versionOf("pg"), {
  "queries and prepared statements": query,
  transactions: transact,
  "LISTEN and NOTIFY": listen,
  "a pool of four": pool,
  cancel,
  "SCRAM-SHA-256-PLUS (`enableChannelBinding`)": bindChannel,
});
