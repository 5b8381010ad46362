// What our client programs have in common.

import { readFileSync } from "node:fs";

/** Where to connect: libpq's environment variables. */
export const environment = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  password: process.env.PGPASSWORD,
  database: process.env.PGDATABASE,
  // Node checks the name in the certificate, too: libpq's verify-full.
  ssl: { ca: readFileSync(process.env.PGSSLROOTCERT) },
};

/** The version of an installed package, as it says itself. */
export function versionOf(name) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(file)).version;
}

/** Try each feature and print the report. */
export async function reportOn(version, features) {
  const results = {};
  for (const [name, feature] of Object.entries(features)) {
    try {
      await feature();
      results[name] = "ok";
    } catch (error) {
      results[name] = String(error.stack ?? error);
    }
  }
  console.log(JSON.stringify({ version: `${version} on Node.js ${process.versions.node}`, results }));
}

/** Look again and again until a statement runs; `query` asks the server. */
export async function untilItRuns(sql, query) {
  for (let round = 0; round < 500; round++) {
    if ((await query(sql)) > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it never ran");
}
