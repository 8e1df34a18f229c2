// PostGraphile 5 over the ledger's tables: `node server.mjs SOCKET_DIRECTORY PORT DATABASE ROLE`.
//
// At its best: production settings, no watching, no IDE, no WebSockets, lists without cursors, answers written as strings,
// prepared statements and the caches of parsed documents and of plans on (their defaults). Tables, columns and relations are
// its own; the two functions are in api.sql. Foreign keys that the ledger proves by other means are declared by smart tags,
// which PostGraphile plans as it plans real ones.
//
// With TOKEN_SECRET (base64) in the environment it guards what it serves in the way that its documentation describes: the
// token of each request is verified, and its ledgers are settings of the request's transaction, for row-level security.
// Without, it answers whoever asks, and needs no transaction.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { jsonPgSmartTags } from "postgraphile/utils";

const [host, port, database, user] = process.argv.slice(2);
const secret = process.env.TOKEN_SECRET && Buffer.from(process.env.TOKEN_SECRET, "base64");
// As many connections as serve it best on two cores: more make the bare one slower, fewer the guarded one.
const pool = new pg.Pool({ host, port: Number(port), database, user, max: secret ? 7 : 4 });
const ids = new Map(
  secret ? (await pool.query("SELECT code, ledger_id FROM peer.ledger_ids")).rows.map((row) => [row.code, row.ledger_id]) : [],
);

function claims(header) {
  const [content, signature] = header.slice("Bearer ".length).split(/\.(?=[^.]*$)/);
  const expected = createHmac("sha256", secret).update(content).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, "base64url"))) throw new Error("not our token");
  const found = JSON.parse(Buffer.from(content.split(".")[1], "base64url"));
  if (found.exp * 1000 < Date.now()) throw new Error("the token has expired");
  return found;
}

const guarded = (context) => ({
  pgSettings: {
    "ledgergraph.ledgers": claims(context.node.req.headers.authorization).ledgers.map((code) => ids.get(code)).join(),
  },
});

const tags = jsonPgSmartTags({
  version: 1,
  config: {
    class: {
      "peer.ledger_ids": { tags: { behavior: "-*" } },
      "ledger.balance_day": { tags: { behavior: "-*" } },
      "ledger.balance_month": { tags: { behavior: "-*" } },
      "ledger.line": {
        tags: {
          name: "entry_line", // Line is a type of PostgreSQL's
          foreignKey: [
            "(ledger_id, sequence) references ledger.entry (ledger_id, sequence)|@fieldName entry|@foreignFieldName lines|@foreignSimpleFieldName lines",
            "(ledger_id, account_id) references ledger.account (ledger_id, account_id)|@fieldName account",
          ],
        },
      },
    },
  },
});

const service = postgraphile({
  extends: [PostGraphileAmberPreset],
  plugins: [tags],
  pgServices: [makePgService({ pool, schemas: ["ledger", "peer"], pubsub: false })],
  schema: { defaultBehavior: "-connection +list -node -insert -update -delete" },
  grafast: { explain: process.env.EXPLAIN ? ["sql"] : false, context: secret ? guarded : undefined },
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false, websockets: false, outputDataAsString: true },
}).createServ(grafserv);

const server = createServer();
await service.addTo(server);
await service.ready();
server.listen(0, "127.0.0.1", () => console.log(`serving http://127.0.0.1:${server.address().port}/graphql`));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
