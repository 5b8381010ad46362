// Drives postgres.js and prints a report.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import postgres from "postgres";

import { environment, reportOn, untilItRuns, versionOf } from "./reporting.mjs";

async function connected(work, options = {}) {
  const { user: username, ...rest } = environment;
  const sql = postgres({ ...rest, username, max: 2, ...options });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

async function query() {
  await connected(async (sql) => {
    const ids = Array.from({ length: 50 }, (_, n) => n + 1);
    const answers = await Promise.all(
      ids.map((id) => sql`SELECT item FROM shop.orders WHERE id = ${id}`),
    );
    assert.deepEqual(answers.map(([row]) => row.item), ids.map((id) => `item ${id}`));
    await assert.rejects(sql`SELECT 1/0`, { code: "22012" });
  });
}

async function transact() {
  await connected(async (sql) => {
    const undone = sql.begin(async (inside) => {
      const updated = await inside`UPDATE shop.orders SET item = 'x' WHERE id < 11`;
      assert.equal(updated.count, 10);
      await inside.savepoint((deeper) => deeper`SELECT 1`);
      throw new Error("undo it");
    });
    await assert.rejects(undone, { message: "undo it" });
  });
}

async function scroll() {
  await connected(async (sql) => {
    const sizes = [];
    await sql`SELECT id FROM shop.orders`.cursor(40, (rows) => void sizes.push(rows.length));
    assert.deepEqual(sizes, [40, 40, 20]);
  });
}

async function copy() {
  await connected(async (pool) => {
    const sql = await pool.reserve();
    await sql`CREATE TEMP TABLE numbers (n int)`;
    const numbers = Array.from({ length: 1000 }, (_, n) => `${n}\n`);
    await pipeline(Readable.from(numbers), await sql`COPY numbers FROM STDIN`.writable());
    const back = [];
    for await (const part of await sql`COPY numbers TO STDOUT`.readable()) back.push(part);
    assert.equal(Buffer.concat(back).toString(), numbers.join(""));
    sql.release();
  });
}

async function listen() {
  await connected(async (sql) => {
    const heard = new Promise((resolve) => {
      sql.listen("here", resolve).then(() => sql.notify("here", "news"));
    });
    assert.equal(await heard, "news");
  });
}

async function cancel() {
  await connected(async (sql) => {
    const running = sql`SELECT pg_sleep(20), 'postgres.js'`.simple();
    const ended = running.then(
      () => assert.fail("it was not cancelled"),
      (error) => error,
    );
    await untilItRuns("SELECT pg_sleep(20), 'postgres.js'", async (text) => {
      const [row] = await sql`SELECT count(*)::int AS n FROM pg_stat_activity WHERE query = ${text}`;
      return row.n;
    });
    running.cancel();
    assert.equal((await ended).code, "57014");
  });
}

await reportOn(versionOf("postgres"), {
  "queries, fifty at once on two connections": query,
  "transactions and savepoints": transact,
  cursors: scroll,
  "COPY both ways": copy,
  "LISTEN and NOTIFY": listen,
  cancel,
});
