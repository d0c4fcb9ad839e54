import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

const chosen = new random.RandomString("chosen", { length: 8 });

export const text = new pulumi.Config().get("text") ?? "hello";
export const length = chosen.result.apply((s) => s.length);
