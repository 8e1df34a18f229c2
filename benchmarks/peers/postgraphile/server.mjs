// PostGraphile 5 over the ledger's tables: `node server.mjs SOCKET_DIRECTORY PORT DATABASE ROLE`.
//
// At its best: production settings, no watching, no IDE, no WebSockets, answers written as strings, prepared statements and
// the caches of parsed documents and of plans on (their defaults), no transaction and no settings for each request. Tables,
// columns and relations are its own; the two functions are in api.sql. Foreign keys that the ledger proves by other means
// are declared by smart tags, which PostGraphile plans as it plans real ones.
import { createServer } from "node:http";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { jsonPgSmartTags } from "postgraphile/utils";

const [host, port, database, user] = process.argv.slice(2);
const pool = new pg.Pool({ host, port: Number(port), database, user, max: Number(process.env.POOL_SIZE ?? 10) });

const tags = jsonPgSmartTags({
  version: 1,
  config: {
    class: {
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
  grafast: { explain: false },
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false, websockets: false, outputDataAsString: true },
}).createServ(grafserv);

const server = createServer();
await service.addTo(server);
await service.ready();
if (process.argv[6] === "--print-schema") {
  const { printSchema } = await import("postgraphile/graphql");
  console.log(printSchema(await service.getSchema()));
  process.exit(0);
}
server.listen(0, "127.0.0.1", () => console.log(`serving http://127.0.0.1:${server.address().port}/graphql`));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
