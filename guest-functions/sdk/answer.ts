import { Host } from '@extism/as-pdk';
import { Line } from './input';
import { quote } from './json-writer';

/**
 * What a function asks the host to do: effects in the order in which they were added, sent once at the end of
 * the call. The host performs only those that the function's manifest grants.
 */
export class Answer {
  private effects: string[] = [];

  registerOrder(currency: string, total: i64, lines: Line[]): void {
    const rows: string[] = [];
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i];
      const quantity = line.quantity.toString();
      const unitPrice = line.unitPrice.toString();
      rows.push(`{"sku":${quote(line.sku)},"quantity":${quantity},"unitPrice":${unitPrice}}`);
    }
    const fields = `"currency":${quote(currency)},"total":${total.toString()},"lines":[${rows.join(',')}]`;
    this.add('order.register', fields);
  }

  /** Refuses the request; `status` is 400 to 499, `field` the path of what was wrong, such as `lines[0].sku`. */
  refuse(status: i32, code: string, field: string, detail: string): void {
    const words = `"code":${quote(code)},"detail":${quote(detail)},"field":${quote(field)}`;
    this.add('reply.refuse', `"status":${status.toString()},${words}`);
  }

  authorizePayment(): void {
    this.add('payment.authorize');
  }

  chargePayment(): void {
    this.add('payment.charge');
  }

  capturePayment(): void {
    this.add('payment.capture');
  }

  /** Gives the money back: voids an authorization, refunds a charge. */
  reversePayment(): void {
    this.add('payment.reverse');
  }

  holdStock(ttlMs: i64): void {
    this.add('stock.hold', `"ttlMs":${ttlMs.toString()}`);
  }

  fulfilOrder(): void {
    this.add('order.fulfil');
  }

  refundOrder(code: string): void {
    this.add('order.refund', `"code":${quote(code)}`);
  }

  failOrder(code: string): void {
    this.add('order.fail', `"code":${quote(code)}`);
  }

  cancelOrder(): void {
    this.add('order.cancel');
  }

  pullInventory(): void {
    this.add('inventory.pull');
  }

  pushOrders(batch: i32): void {
    this.add('orders.push', `"batch":${batch.toString()}`);
  }

  send(): void {
    // Not `Host.outputString`: it takes the length in UTF-16 units for the length in bytes.
    Host.output(Uint8Array.wrap(String.UTF8.encode(`{"effects":[${this.effects.join(',')}]}`)));
  }

  private add(type: string, fields: string = ''): void {
    this.effects.push(`{"type":"${type}"${fields == '' ? '' : ',' + fields}}`);
  }
}
